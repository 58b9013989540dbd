import type { RTCErrorEvent } from './events.ts';
import type { RTCIceTransport } from './rtc-ice-transport.ts';
import { ConstructorGate, defineInterface, type EventHandler, TypedEventTarget } from './web-idl.ts';

export type RTCDtlsTransportState = 'new' | 'connecting' | 'connected' | 'closed' | 'failed';

/** The slots of an {@link RTCDtlsTransport}; the connection changes them and then fires the event. */
export interface DtlsTransportSlots {
  readonly iceTransport: RTCIceTransport;
  state: RTCDtlsTransportState;
  /** DER, end-entity first. */
  remoteCertificates: readonly Uint8Array[];
}

export interface RTCDtlsTransportEventMap {
  statechange: Event;
  error: RTCErrorEvent;
}

const gate = new ConstructorGate<DtlsTransportSlots>();

/** W3C RTCDtlsTransport: what DTLS is doing. Read-only. */
export class RTCDtlsTransportImpl extends TypedEventTarget<RTCDtlsTransportEventMap> {
  declare onstatechange: EventHandler;
  declare onerror: EventHandler<RTCErrorEvent>;
  readonly #slots: DtlsTransportSlots;

  constructor() {
    const slots = gate.take();
    super();
    this.#slots = slots;
  }

  get iceTransport(): RTCIceTransport {
    return this.#slots.iceTransport;
  }

  get state(): RTCDtlsTransportState {
    return this.#slots.state;
  }

  /** The peer's chain in DER; empty until it was received (and verified). Copies. */
  getRemoteCertificates(): ArrayBuffer[] {
    return this.#slots.remoteCertificates.map((der) => new Uint8Array(der).buffer);
  }

  static {
    defineInterface(RTCDtlsTransportImpl, 'RTCDtlsTransport', ['statechange', 'error']);
  }
}

/** {@link RTCDtlsTransportImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCDtlsTransport = Pick<RTCDtlsTransportImpl, keyof RTCDtlsTransportImpl>;

export const RTCDtlsTransport: {
  readonly prototype: RTCDtlsTransport;
  new (): RTCDtlsTransport;
} = RTCDtlsTransportImpl;

export function createRtcDtlsTransport(slots: DtlsTransportSlots): RTCDtlsTransport {
  return gate.make(slots, () => new RTCDtlsTransportImpl());
}
