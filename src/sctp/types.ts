import type { Env } from '../core/index.ts';
import type { SchedulerName } from './scheduler.ts';

/** What an association is made with. Everything but `env` has a default that suits WebRTC. */
export interface SctpOptions {
  readonly env: Env;
  /** `a=sctp-port` of this side (RFC 8841 §5). Default 5000. */
  readonly localPort?: number | undefined;
  /** `a=sctp-port` of the peer. Default 5000. Packets with other ports are dropped. */
  readonly remotePort?: number | undefined;
  /** Largest message accepted from the peer, in bytes; a longer one ends the association. Default 262,144. */
  readonly maxMessageSize?: number | undefined;
  /** Size of an SCTP packet, common header included, that the path is known to carry. Default 1,191. */
  readonly mtuBytes?: number | undefined;
  /**
   * Path-MTU discovery (RFC 8899) probes packets up to this size; at most 16,384, the plaintext of one DTLS record.
   * Default: equal to `mtuBytes`, which switches probing off.
   */
  readonly maxMtuBytes?: number | undefined;
  /**
   * Bytes that may wait for reassembly, ordering or `consume`; what `a_rwnd` is counted from. Default: 4 MiB, growing up
   * to 64 MiB while the sender fills it and the application keeps up; a number given here is fixed.
   */
  readonly receiveWindowBytes?: number | undefined;
  /** Bytes accepted by `send` and not yet transmitted, over all streams. Default 256 MiB. */
  readonly maxSendBufferBytes?: number | undefined;
  /** Streams we ask for. Default 65,535 (RFC 8831 §6.2). */
  readonly outboundStreams?: number | undefined;
  /** Streams we let the peer open. Default 65,535. */
  readonly inboundStreams?: number | undefined;
  /** Offer and accept the zero checksum over DTLS (RFC 9653). Only for carriers that authenticate. Default false. */
  readonly zeroChecksum?: boolean | undefined;
  /** Offer I-DATA (RFC 8260). Default true; it is used when both sides offer it. */
  readonly interleaving?: boolean | undefined;
  /** How streams take turns (RFC 8260 §3). Default `weighted-fair`. */
  readonly scheduler?: SchedulerName | undefined;
  /** Default `cubic`. */
  readonly congestionControl?: CongestionControlName | undefined;
  /** Spread packets over the round trip instead of sending them in bursts. Default true. */
  readonly pacing?: boolean | undefined;
  /** Milliseconds between HEARTBEATs on an idle path (RFC 9260 §8.3); 0 switches them off. Default 30,000. */
  readonly heartbeatIntervalMs?: number | undefined;
  /** Association.Max.Retrans (RFC 9260 §16). Default 10. */
  readonly maxRetransmissions?: number | undefined;
  /** Max.Init.Retransmits (RFC 9260 §16). Default 8. */
  readonly maxInitRetransmissions?: number | undefined;
  /**
   * Let messages ride with the COOKIE ECHO (RFC 9260 §5.1 C): from the event `sendable` on `send` works, a round trip before
   * `connected`. Default false.
   */
  readonly earlyData?: boolean | undefined;
  /** First TSN to use instead of a random one, so that tests can start near the wrap-around. */
  readonly initialTsn?: number | undefined;
}

/** `reno` is RFC 9260 §7; `cubic` is RFC 9438 with HyStart++ (RFC 9406) and a back-off that tells loss from congestion. */
export type CongestionControlName = 'reno' | 'cubic';

/** The states of RFC 9260 §4, in the order in which an association passes through them. */
export type SctpState =
  | 'closed'
  | 'cookie-wait'
  | 'cookie-echoed'
  | 'established'
  | 'shutdown-pending'
  | 'shutdown-sent'
  | 'shutdown-received'
  | 'shutdown-ack-sent';

/** One user message. */
export interface SctpMessage {
  /** Below the number of outbound streams. */
  readonly streamId: number;
  /** Payload protocol identifier, 32 bits. */
  readonly ppid: number;
  /** Kept without copying until it is acknowledged or given up: do not change it. Not empty (RFC 9260 §3.3.1). */
  readonly bytes: Uint8Array;
  /** `bytes` may change once `send` has returned: they are copied, into memory that is used again. Default false. */
  readonly borrowed?: boolean | undefined;
  readonly ordered: boolean;
  /** Give up after this many retransmissions of any of its fragments (RFC 7496 §3.2). */
  readonly maxRetransmits?: number | undefined;
  /** Give up when this many milliseconds have passed since `send` (RFC 3758 §4.1). */
  readonly lifetimeMs?: number | undefined;
}

/** What happened, in the order in which it happened. */
export type SctpEvent =
  /** Only with `earlyData`, and not always: `send` works although the association is not up yet. At most once. */
  | { readonly type: 'sendable'; readonly inboundStreams: number; readonly outboundStreams: number }
  | { readonly type: 'connected'; readonly inboundStreams: number; readonly outboundStreams: number }
  | {
      readonly type: 'message';
      readonly streamId: number;
      readonly ppid: number;
      /** Owned by the receiver of the event. */
      readonly bytes: Uint8Array;
      readonly unordered: boolean;
    }
  /** `bufferedAmount(streamId)` fell to the threshold or below it. */
  | { readonly type: 'buffered-amount-low'; readonly streamId: number }
  /** The peer has reset its outgoing streams; everything it sent before has been delivered (RFC 6525 §5.2.2). */
  | { readonly type: 'incoming-reset'; readonly streamIds: readonly number[] }
  /** The peer answered our reset; `ok: false` when it refused. Either way the streams can be used again. */
  | { readonly type: 'outgoing-reset'; readonly streamIds: readonly number[]; readonly ok: boolean }
  /** The peer added streams, or granted ours (RFC 6525 §4.5): the new totals. */
  | { readonly type: 'streams-added'; readonly inboundStreams: number; readonly outboundStreams: number }
  /** The peer restarted with new tags (RFC 9260 §5.2.4.1): all streams begin anew, unacknowledged messages are lost. */
  | { readonly type: 'restarted' }
  /** Graceful shutdown is complete (RFC 9260 §9.2). */
  | { readonly type: 'closed' }
  /** ABORT sent or received (RFC 9260 §9.1). */
  | {
      readonly type: 'aborted';
      readonly byPeer: boolean;
      /** RFC 9260 §3.3.10 code of the first cause. */
      readonly cause: number | undefined;
      readonly message: string;
    }
  /** The peer does not answer any more: a retransmission limit was exceeded (RFC 9260 §8.1). */
  | { readonly type: 'failed'; readonly message: string };

/** Counters for `getStats()`, logs and tests. */
export interface SctpStats {
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** DATA chunks sent again. */
  readonly retransmissions: number;
  /** Retransmission timeouts (T3-rtx). */
  readonly timeouts: number;
  /** Tail loss probes. */
  readonly probes: number;
  readonly smoothedRttMs: number | undefined;
  readonly rtoMs: number;
  readonly congestionWindowBytes: number;
  readonly slowStartThresholdBytes: number;
  /** Sent, not acknowledged and not taken for lost. */
  readonly flightBytes: number;
  readonly peerReceiveWindowBytes: number;
  readonly receiveWindowBytes: number;
  /** Current packet size. */
  readonly mtuBytes: number;
  /** Messages given up by partial reliability. */
  readonly abandonedMessages: number;
}
