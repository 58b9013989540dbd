import type { IceConnectionState, IceGatheringState, SelectedPair } from '../ice/index.ts';
import { deriveConnectionState, type RTCPeerConnectionState } from './connection-state.ts';
import { RTCErrorEvent } from './events.ts';
import { createRtcDtlsTransport, type DtlsTransportSlots, type RTCDtlsTransport } from './rtc-dtls-transport.ts';
import { RTCError } from './rtc-error.ts';
import { toRtcCandidate } from './rtc-ice-candidate.ts';
import {
  createRtcIceCandidatePair,
  createRtcIceTransport,
  type IceTransportSlots,
  type RTCIceTransport,
} from './rtc-ice-transport.ts';
import { createRtcSctpTransport, type RTCSctpTransport, type SctpTransportSlots } from './rtc-sctp-transport.ts';
import type { TaskQueue } from './task-queue.ts';
import type { PeerTransportEvent } from './transport-types.ts';

export interface ShownTransportsHooks {
  /** Fires an event at the connection. */
  fire(event: Event): void;
  /** Where in the description the transport's section is, for candidates. */
  section(): { readonly mid: string; readonly index: number };
}

/** One SCTP association as the application sees it. */
interface ShownAssociation {
  readonly slots: SctpTransportSlots;
  readonly object: RTCSctpTransport;
  isOver: boolean;
}

/**
 * The W3C's transport objects, which show the state of one session, and the connection state that follows from theirs.
 * Changes come in tasks; the steps are those of W3C §5.5, §5.6 and §6.1.
 */
export class ShownTransports {
  readonly ice: IceTransportSlots = {
    component: 'rtp',
    role: 'unknown',
    state: 'new',
    gatheringState: 'new',
    localCandidates: [],
    remoteCandidates: [],
    selectedPair: null,
    localParameters: null,
    remoteParameters: null,
  };
  readonly #rtcIce: RTCIceTransport;
  readonly #rtcDtls: RTCDtlsTransport;
  readonly #dtls: DtlsTransportSlots;
  readonly #tasks: TaskQueue;
  readonly #hooks: ShownTransportsHooks;
  readonly #peerCertificates: () => readonly Uint8Array[];
  #association: ShownAssociation;
  /** SCTP associations so far, the one to come included. */
  #associations = 0;
  #connectionState: RTCPeerConnectionState = 'new';
  #iceChange: { pair?: SelectedPair | undefined; state?: IceConnectionState } | undefined;
  #closed = false;

  /** @param peerCertificates - DER, the peer's own first; asked when DTLS is connected. */
  constructor(tasks: TaskQueue, hooks: ShownTransportsHooks, peerCertificates: () => readonly Uint8Array[]) {
    this.#tasks = tasks;
    this.#hooks = hooks;
    this.#peerCertificates = peerCertificates;
    this.#rtcIce = createRtcIceTransport(this.ice);
    this.#dtls = { iceTransport: this.#rtcIce, state: 'new', remoteCertificates: [] };
    this.#rtcDtls = createRtcDtlsTransport(this.#dtls);
    this.#association = this.#showAssociation();
  }

  get connectionState(): RTCPeerConnectionState {
    return this.#connectionState;
  }

  /** W3C's RTCSctpTransport of the association that there is, or is to come. */
  get rtcSctp(): RTCSctpTransport {
    return this.#association.object;
  }

  /** SCTP associations so far, with the one that there is or is to come. */
  get associations(): number {
    return this.#associations;
  }

  /** W3C [[MaxMessageSize]] of it. */
  set maxMessageSize(bytes: number) {
    this.#association.slots.maxMessageSize = bytes;
  }

  /** W3C "create an RTCSctpTransport", for an offer that finds none: one that is closed stays so. */
  renewSctp(): void {
    if (this.#association.isOver) this.#association = this.#showAssociation();
  }

  #showAssociation(): ShownAssociation {
    const slots: SctpTransportSlots = {
      transport: this.#rtcDtls,
      state: 'connecting',
      maxMessageSize: 65_536,
      maxChannels: null,
    };
    this.#associations++;
    return { slots, object: createRtcSctpTransport(slots), isOver: false };
  }

  /** Everything has ended, and no event tells of it. */
  close(): void {
    this.#closed = true;
    this.#association.slots.state = 'closed';
    this.#dtls.state = 'closed';
    this.ice.state = 'closed';
    this.#connectionState = 'closed';
  }

  /** Within a task. */
  changeGathering(state: IceGatheringState): void {
    this.ice.gatheringState = state;
    this.#rtcIce.dispatchEvent(new Event('gatheringstatechange'));
  }

  /** W3C §5.6 "change the selected candidate pair and state": both in one task where they come together. */
  changeIce(change: { readonly pair?: SelectedPair; readonly state?: IceConnectionState }): void {
    const open = this.#iceChange;
    const fits =
      open !== undefined && (change.state === undefined || open.state === undefined) && !(change.pair && open.pair);
    if (fits) {
      Object.assign(open, change);
      return;
    }
    const task = { ...change };
    this.#iceChange = task;
    this.#tasks.queue(() => {
      if (this.#iceChange === task) this.#iceChange = undefined;
      this.#applyIce(task.pair, task.state);
    });
  }

  #applyIce(pair: SelectedPair | undefined, state: IceConnectionState | undefined): void {
    if (pair !== undefined) {
      const { mid, index } = this.#hooks.section();
      this.ice.selectedPair = createRtcIceCandidatePair(
        toRtcCandidate(pair.local, mid, index),
        toRtcCandidate(pair.remote, mid, index),
      );
    }
    const changed = state !== undefined && state !== this.ice.state;
    if (changed) this.ice.state = state;
    const connectionChanged = changed && this.#deriveConnectionState();
    if (pair !== undefined) this.#rtcIce.dispatchEvent(new Event('selectedcandidatepairchange'));
    if (changed) {
      this.#rtcIce.dispatchEvent(new Event('statechange'));
      this.#hooks.fire(new Event('iceconnectionstatechange'));
    }
    if (connectionChanged) this.#hooks.fire(new Event('connectionstatechange'));
  }

  /** @returns whether it changed. */
  #deriveConnectionState(): boolean {
    const state = deriveConnectionState(this.ice.state, this.#dtls.state);
    if (state === this.#connectionState || this.#closed) return false;
    this.#connectionState = state;
    return true;
  }

  /** W3C §5.5: the transport's own event, then "update the connection state" in a second task. */
  onDtls(event: PeerTransportEvent & { readonly type: 'dtls-state' }): void {
    const { state, failure } = event;
    this.#tasks.queue(() => {
      if (state === 'connected') this.#dtls.remoteCertificates = this.#peerCertificates();
      this.#dtls.state = state;
      if (failure !== undefined) {
        const error = new RTCError(
          {
            errorDetail: failure.detail,
            ...(failure.receivedAlert !== undefined && { receivedAlert: failure.receivedAlert }),
            ...(failure.sentAlert !== undefined && { sentAlert: failure.sentAlert }),
          },
          failure.message,
        );
        this.#rtcDtls.dispatchEvent(new RTCErrorEvent('error', { error }));
      }
      this.#rtcDtls.dispatchEvent(new Event('statechange'));
    });
    this.#tasks.queue(() => {
      if (this.#deriveConnectionState()) this.#hooks.fire(new Event('connectionstatechange'));
    });
  }

  /** W3C §6.1.1.3 "RTCSctpTransport connected"; the `open` events of the channels come in tasks behind it. */
  onSctp({ state, maxChannels }: PeerTransportEvent & { readonly type: 'sctp-state' }): void {
    if (state === 'connecting') this.renewSctp(); // another association has another object
    const shown = this.#association;
    if (state === 'closed') shown.isOver = true;
    this.#tasks.queue(() => {
      const { slots, object } = shown;
      if (maxChannels !== undefined) slots.maxChannels = maxChannels;
      if (slots.state === state) return;
      slots.state = state;
      object.dispatchEvent(new Event('statechange'));
    });
  }
}
