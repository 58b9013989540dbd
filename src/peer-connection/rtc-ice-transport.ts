import type { RTCIceCandidate } from './rtc-ice-candidate.ts';
import { ConstructorGate, defineInterface, type EventHandler, type Relaxed, TypedEventTarget } from './web-idl.ts';

export type RTCIceComponentName = 'rtp' | 'rtcp';
export type RTCIceRole = 'unknown' | 'controlling' | 'controlled';
export type RTCIceTransportState =
  | 'new'
  | 'checking'
  | 'connected'
  | 'completed'
  | 'disconnected'
  | 'failed'
  | 'closed';
export type RTCIceGathererState = 'new' | 'gathering' | 'complete';

/** W3C RTCIceParameters. */
export interface RTCIceParameters {
  usernameFragment?: string;
  password?: string;
}

interface PairSlots {
  readonly local: RTCIceCandidate;
  readonly remote: RTCIceCandidate;
}

const pairGate = new ConstructorGate<PairSlots>();

/** W3C RTCIceCandidatePair: the pair that is in use. */
export class RTCIceCandidatePairImpl {
  readonly #slots: PairSlots;

  constructor() {
    this.#slots = pairGate.take();
  }

  get local(): RTCIceCandidate {
    return this.#slots.local;
  }

  get remote(): RTCIceCandidate {
    return this.#slots.remote;
  }

  static {
    defineInterface(RTCIceCandidatePairImpl, 'RTCIceCandidatePair');
  }
}

/** {@link RTCIceCandidatePairImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCIceCandidatePair = Pick<RTCIceCandidatePairImpl, keyof RTCIceCandidatePairImpl>;

export const RTCIceCandidatePair: {
  readonly prototype: RTCIceCandidatePair;
  new (): RTCIceCandidatePair;
} = RTCIceCandidatePairImpl;

export function createRtcIceCandidatePair(local: RTCIceCandidate, remote: RTCIceCandidate): RTCIceCandidatePair {
  return pairGate.make({ local, remote }, () => new RTCIceCandidatePairImpl());
}

/** The slots of an {@link RTCIceTransport}; the connection changes them and then fires the event. */
export interface IceTransportSlots {
  /** RTCP is always multiplexed. */
  readonly component: 'rtp';
  role: RTCIceRole;
  state: RTCIceTransportState;
  gatheringState: RTCIceGathererState;
  localCandidates: RTCIceCandidate[];
  remoteCandidates: RTCIceCandidate[];
  selectedPair: RTCIceCandidatePair | null;
  localParameters: RTCIceParameters | null;
  remoteParameters: RTCIceParameters | null;
}

export interface RTCIceTransportEventMap {
  statechange: Event;
  gatheringstatechange: Event;
  selectedcandidatepairchange: Event;
}

const gate = new ConstructorGate<IceTransportSlots>();

/** W3C RTCIceTransport: what ICE is doing. Read-only. */
export class RTCIceTransportImpl extends TypedEventTarget<RTCIceTransportEventMap> {
  declare onstatechange: EventHandler;
  declare ongatheringstatechange: EventHandler;
  declare onselectedcandidatepairchange: EventHandler;
  readonly #slots: IceTransportSlots;

  constructor() {
    const slots = gate.take();
    super();
    this.#slots = slots;
  }

  get role(): RTCIceRole {
    return this.#slots.role;
  }

  get component(): RTCIceComponentName {
    return this.#slots.component;
  }

  get state(): RTCIceTransportState {
    return this.#slots.state;
  }

  get gatheringState(): RTCIceGathererState {
    return this.#slots.gatheringState;
  }

  getLocalCandidates(): RTCIceCandidate[] {
    return [...this.#slots.localCandidates];
  }

  getRemoteCandidates(): RTCIceCandidate[] {
    return [...this.#slots.remoteCandidates];
  }

  getSelectedCandidatePair(): RTCIceCandidatePair | null {
    return this.#slots.selectedPair;
  }

  getLocalParameters(): RTCIceParameters | null {
    return this.#slots.localParameters;
  }

  getRemoteParameters(): RTCIceParameters | null {
    return this.#slots.remoteParameters;
  }

  static {
    defineInterface(RTCIceTransportImpl, 'RTCIceTransport', [
      'statechange',
      'gatheringstatechange',
      'selectedcandidatepairchange',
    ]);
  }
}

/** {@link RTCIceTransportImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCIceTransport = Relaxed<
  RTCIceTransportImpl,
  'role' | 'component' | 'getLocalCandidates' | 'getRemoteCandidates' | 'getLocalParameters' | 'getRemoteParameters'
>;

export const RTCIceTransport: {
  readonly prototype: RTCIceTransport;
  new (): RTCIceTransport;
} = RTCIceTransportImpl;

export function createRtcIceTransport(slots: IceTransportSlots): RTCIceTransport {
  return gate.make(slots, () => new RTCIceTransportImpl());
}
