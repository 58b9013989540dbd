import type { RTCDtlsTransport } from './rtc-dtls-transport.ts';
import { ConstructorGate, defineInterface, type EventHandler, TypedEventTarget } from './web-idl.ts';

export type RTCSctpTransportState = 'connecting' | 'connected' | 'closed';

/** The slots of an {@link RTCSctpTransport}; the connection changes them and then fires the event. */
export interface SctpTransportSlots {
  readonly transport: RTCDtlsTransport;
  state: RTCSctpTransportState;
  /** Bytes; Infinity is no limit. */
  maxMessageSize: number;
  maxChannels: number | null;
}

export interface RTCSctpTransportEventMap {
  statechange: Event;
}

const gate = new ConstructorGate<SctpTransportSlots>();

/** W3C RTCSctpTransport: the association that carries all data channels. Read-only. */
export class RTCSctpTransportImpl extends TypedEventTarget<RTCSctpTransportEventMap> {
  declare onstatechange: EventHandler;
  readonly #slots: SctpTransportSlots;

  constructor() {
    const slots = gate.take();
    super();
    this.#slots = slots;
  }

  get transport(): RTCDtlsTransport {
    return this.#slots.transport;
  }

  get state(): RTCSctpTransportState {
    return this.#slots.state;
  }

  /** Longest message that `send` takes, bytes: 65,536 until the peer has said its own (RFC 8841 §6.1). */
  get maxMessageSize(): number {
    return this.#slots.maxMessageSize;
  }

  /** Channels that can be open at a time; null until connected. */
  get maxChannels(): number | null {
    return this.#slots.maxChannels;
  }

  static {
    defineInterface(RTCSctpTransportImpl, 'RTCSctpTransport', ['statechange']);
  }
}

/** {@link RTCSctpTransportImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCSctpTransport = Pick<RTCSctpTransportImpl, keyof RTCSctpTransportImpl>;

export const RTCSctpTransport: {
  readonly prototype: RTCSctpTransport;
  new (): RTCSctpTransport;
} = RTCSctpTransportImpl;

export function createRtcSctpTransport(slots: SctpTransportSlots): RTCSctpTransport {
  return gate.make(slots, () => new RTCSctpTransportImpl());
}
