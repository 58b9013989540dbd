import type { Env, FiveTuple, Instant, TransportAddress, TransportProtocol } from '../core/index.ts';
import type { IceCandidate, IceTcpType } from './candidate.ts';

/** RFC 8445 §4: who nominates. */
export type IceRole = 'controlling' | 'controlled';

/** W3C RTCIceTransportState. */
export type IceConnectionState = 'new' | 'checking' | 'connected' | 'completed' | 'disconnected' | 'failed' | 'closed';

/** W3C RTCIceGathererState. */
export type IceGatheringState = 'new' | 'gathering' | 'complete';

/** RFC 8445 §6.1.2.6 with the W3C spelling of RTCStatsIceCandidatePairState. */
export type PairState = 'frozen' | 'waiting' | 'in-progress' | 'failed' | 'succeeded';

/** One side's short-term credential (RFC 8445 §5.3) and what its description says beside it. */
export interface IceParameters {
  /** 4–256 ice-chars; of the peer also other visible characters, as libwebrtc takes them. */
  readonly ufrag: string;
  /** 22–256, likewise. */
  readonly pwd: string;
  /** RFC 8839 §5.3: the peer only answers checks. */
  readonly lite?: boolean | undefined;
  /** RFC 8839 §5.5 `a=ice-pacing`: the Ta the peer proposes, 50 if it says nothing; the larger of both sides is used. */
  readonly pacingMs?: number | undefined;
}

export interface IceAgentOptions {
  readonly env: Env;
  readonly role: IceRole;
  /** Default: 8 random ice-chars (48 bits). @throws {UsageError} outside 4–256 ice-chars. */
  readonly ufrag?: string | undefined;
  /** Default: 24 random ice-chars (144 bits). @throws {UsageError} outside 22–256 ice-chars. */
  readonly pwd?: string | undefined;
  /** RFC 8445 §2.5: only answers checks; for servers with public addresses. Default false. */
  readonly lite?: boolean | undefined;
  /** `relay` emits and pairs relayed candidates only (W3C iceTransportPolicy). Default `all`. */
  readonly policy?: 'all' | 'relay' | undefined;
  /** Ta (RFC 8445 §14.2), at least 5. Another value than 50 must be signalled as `a=ice-pacing`. */
  readonly taMs?: number | undefined;
  /** Most pairs at a time (RFC 8445 §6.1.2.5). Default 100. */
  readonly maxPairs?: number | undefined;
  /** Least time before `failed` (RFC 8863). Default 39,500. */
  readonly pacTimeoutMs?: number | undefined;
  /** Silence after which the selected pair counts as disconnected. Default 8,000. */
  readonly disconnectedMs?: number | undefined;
  /** Whether a valid pair carries data before it is nominated (RFC 8445 §12.1). Default true. */
  readonly useValidPairs?: boolean | undefined;
}

export interface HostCandidateOptions {
  /** Default `udp`. A TCP candidate's base is the address it listens on, or connects from (`active`). */
  readonly tcpType?: IceTcpType | undefined;
  /** Published instead of the address: an mDNS name. */
  readonly hostname?: string | undefined;
  /** 0–65535, unique per base (RFC 8445 §5.1.2.1; TCP: in its upper 13 bits). Default: by order of adding, IPv6 and IPv4 interleaved (RFC 8421 §4). */
  readonly localPreference?: number | undefined;
}

export interface RelayedCandidateOptions {
  /** Between client and TURN server; ranks relayed candidates: UDP, then TCP, then TLS. Default `udp`. */
  readonly relayProtocol?: TransportProtocol | undefined;
  /** URL or address of the TURN server; part of the foundation. */
  readonly url?: string | undefined;
  /** A TCP allocation (RFC 6062, RFC 6544 §5.5), as for host candidates. Default: `udp`. */
  readonly tcpType?: IceTcpType | undefined;
  readonly localPreference?: number | undefined;
}

/** What a STUN server said over a TCP connection from a base (RFC 6544 §5.2). */
export interface TcpReflexiveAddress {
  readonly mapped: TransportAddress;
  readonly server: TransportAddress;
  /** As the caller wrote it. Default: the address. */
  readonly url?: string | undefined;
}

export interface StunServerOptions {
  /** As the caller wrote it; server-reflexive candidates and errors carry it. Default: the address. */
  readonly url?: string | undefined;
}

/** Both ends of the pair in use. */
export interface SelectedPair {
  readonly local: IceCandidate;
  readonly remote: IceCandidate;
  readonly nominated: boolean;
}

export type IceEvent =
  /** A local candidate to signal; its `usernameFragment` names the generation. */
  | { readonly type: 'candidate'; readonly candidate: IceCandidate }
  | { readonly type: 'gathering-state'; readonly state: IceGatheringState }
  | { readonly type: 'connection-state'; readonly state: IceConnectionState }
  /** Data goes to `path` from now on. Undefined: no pair is usable at present. */
  | {
      readonly type: 'selected-pair';
      readonly path: FiveTuple | undefined;
      readonly pair: SelectedPair | undefined;
    }
  /** A role conflict was repaired by changing our role (RFC 8445 §7.3.1.1). */
  | { readonly type: 'role'; readonly role: IceRole }
  /**
   * A STUN server answered a base with an error, or not at all (701): W3C icecandidateerror. `code` and `reason` are the
   * server's.
   */
  | {
      readonly type: 'server-error';
      readonly server: TransportAddress;
      readonly base: TransportAddress;
      readonly url: string | undefined;
      readonly code: number;
      readonly reason: string;
    }
  /** A base that was withdrawn is used by no generation any more: what stands behind it may go. */
  | { readonly type: 'base-unused'; readonly base: TransportAddress }
  /** A remote candidate has a name for an address: answer with `addResolved`, or not at all. */
  | { readonly type: 'resolve'; readonly hostname: string }
  /** Used alone, without a demultiplexer in front: a datagram of an accepted path. `bytes` is borrowed until the next call. */
  | { readonly type: 'data'; readonly bytes: Uint8Array; readonly path: FiveTuple };

/** W3C RTCIceCandidateStats (webrtc-stats §8.13); `id` is unique in this agent. */
export interface IceCandidateStats {
  readonly id: string;
  readonly type: 'local-candidate' | 'remote-candidate';
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly candidateType: string;
  readonly priority: number;
  readonly foundation: string;
  readonly usernameFragment: string | undefined;
  readonly relatedAddress: string | undefined;
  readonly relatedPort: number | undefined;
  readonly tcpType: string | undefined;
  readonly url: string | undefined;
  readonly relayProtocol: string | undefined;
}

/** W3C RTCIceCandidatePairStats. Round trip times are seconds, as W3C has them; timestamps are `Instant`s. */
export interface IceCandidatePairStats {
  readonly id: string;
  readonly type: 'candidate-pair';
  readonly localCandidateId: string;
  readonly remoteCandidateId: string;
  readonly state: PairState;
  readonly nominated: boolean;
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly lastPacketSentTimestamp: Instant | undefined;
  readonly lastPacketReceivedTimestamp: Instant | undefined;
  readonly totalRoundTripTime: number;
  readonly currentRoundTripTime: number | undefined;
  readonly requestsReceived: number;
  readonly requestsSent: number;
  readonly responsesReceived: number;
  readonly responsesSent: number;
  readonly consentRequestsSent: number;
}

/** W3C RTCTransportStats, the ICE part of it. */
export interface IceStats {
  readonly candidates: readonly IceCandidateStats[];
  readonly candidatePairs: readonly IceCandidatePairStats[];
  readonly selectedCandidatePairId: string | undefined;
  readonly selectedCandidatePairChanges: number;
  readonly iceRole: IceRole;
  readonly iceState: IceConnectionState;
  readonly iceLocalUsernameFragment: string;
}
