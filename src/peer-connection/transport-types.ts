import type { Env, FiveTuple, TransportAddress } from '../core/index.ts';
import type { Certificate } from '../crypto/index.ts';
import type { DataChannelEvent, DataChannelsOptions, DtlsRole } from '../datachannel/index.ts';
import type { DtlsOptions } from '../dtls/index.ts';
import type { IceAgentOptions, IceConnectionState, IceEvent, IceRole } from '../ice/index.ts';
import type { SctpOptions } from '../sctp/index.ts';
import type { Fingerprint } from './fingerprints.ts';
import type { RelayEvent, TurnServer } from './relay.ts';

/** Early DTLS datagrams kept until the remote description is there: one flight with some repetition. */
export const MAX_EARLY_DATAGRAMS = 8;

/** Longest early datagram that is kept, bytes: what fits an Ethernet frame. */
export const MAX_EARLY_DATAGRAM_BYTES = 1500;

/** RFC 8841 §5: the SCTP port when nobody says otherwise. */
export const DEFAULT_SCTP_PORT = 5000;

/** Bytes of one message that we accept and announce in `a=max-message-size`, as Chrome and Firefox do. */
export const DEFAULT_MAX_MESSAGE_SIZE: number = 256 * 1024;

/**
 * Bounds of the first DTLS retransmission timeout when it is taken from the round trip that ICE measured. RFC 6347
 * §4.2.4.1 recommends 1 s and leaves time-sensitive applications a shorter one; browsers start at 50 ms.
 */
export const MIN_DTLS_RTO_MS = 100;
export const MAX_DTLS_RTO_MS = 1000;

/**
 * What the doubling of that timeout stops at, and how often a flight is sent again: 20 attempts in about a minute. Over a
 * path that loses every fifth datagram the 60 s of RFC 6347 §4.2.4.1 would be waited for nothing.
 */
export const DTLS_RTO_CEILING_MS = 3000;
export const DTLS_MAX_RETRANSMISSIONS = 20;

export interface PeerTransportOptions {
  readonly env: Env;
  /** What we prove with in the handshake; its fingerprints are in our description. */
  readonly certificate: Certificate;
  readonly iceRole: IceRole;
  /** Anything else of the ICE agent: fixed credentials, `lite`, policy, timing. */
  readonly ice?: Omit<IceAgentOptions, 'env' | 'role'>;
  /** Anything else of the DTLS endpoint: suites, groups, key log. */
  readonly dtls?: Omit<DtlsOptions, 'env' | 'certificate' | 'verifyPeer'>;
  /** Anything else of the association: buffers, path MTU. */
  readonly sctp?: Omit<SctpOptions, 'env' | 'localPort' | 'remotePort' | 'maxMessageSize'>;
  /**
   * The largest IP packet that the first hop of a path takes, bytes; undefined where nobody knows. Then SCTP searches for
   * larger packets up to it (RFC 8899); otherwise, and when `sctp.maxMtuBytes` is given, it does not.
   */
  readonly pathMtuBytes?: (path: FiveTuple) => number | undefined;
  readonly channels?: Omit<DataChannelsOptions, 'association' | 'role' | 'maxSendMessageBytes' | 'trace'>;
  /** Our SCTP port, as in our description. Default 5000. */
  readonly sctpPort?: number;
  /** Largest message we accept, bytes. Default 262,144. */
  readonly maxMessageSize?: number;
}

/** What the remote description says about the layers above ICE, and which DTLS role follows from both descriptions. */
export interface RemoteTransport {
  /** Ours: `client` when our `a=setup` is `active` in the end (RFC 8842 §5). */
  readonly dtlsRole: DtlsRole;
  /**
   * Another DTLS association is to take the place of the one that there is (RFC 8842 §4), once the ICE restart that has
   * to come with it has found a pair. SCTP lives on above it (RFC 8841 §10.5); a peer that is somebody else restarts it.
   */
  readonly replacesDtls?: boolean;
  /**
   * Of the peer's certificate (RFC 8122 §5). The wish to check it differently (libp2p's webrtc-direct learns the peer's
   * certificate in a handshake of its own) is `acceptAnyCertificate`.
   */
  readonly fingerprints: readonly Fingerprint[];
  readonly acceptAnyCertificate?: boolean;
  /** The peer's. Default 5000. */
  readonly sctpPort?: number;
  /** Ours, of the association that this call begins. Default: that of the options. */
  readonly localSctpPort?: number;
  /**
   * Another SCTP association is to take the place of the one that there is, over the same DTLS association (RFC 8841 §9.3):
   * ports have changed, or there has been none since `endData`. Channels that are open are closed.
   */
  readonly replacesSctp?: boolean;
  /** Largest message the peer accepts, bytes; 0 is "any". Default 65,536 (RFC 8841 §6.1). */
  readonly maxMessageSize?: number;
}

/**
 * What has gone over a transport, whatever the pair (webrtc-stats RTCTransportStats): datagrams of DTLS and what is in them,
 * without the checks of ICE. Bytes are those of UDP payloads.
 */
export interface TransportTraffic {
  packetsSent: number;
  packetsReceived: number;
  bytesSent: number;
  bytesReceived: number;
}

/** Why a DTLS association ended badly. */
export interface DtlsFailure {
  readonly detail: 'dtls-failure' | 'fingerprint-failure';
  readonly message: string;
  /** AlertDescription values (RFC 5246 §7.2). */
  readonly sentAlert: number | undefined;
  readonly receivedAlert: number | undefined;
}

/** Events of a {@link PeerTransport}: those of ICE, DTLS and SCTP by their own names, and those of the data channels. */
export type PeerTransportEvent =
  /** `resolve` is to be answered with `ice.addResolved`. */
  | Extract<
      IceEvent,
      { readonly type: 'candidate' | 'gathering-state' | 'selected-pair' | 'server-error' | 'resolve' | 'base-unused' }
    >
  | { readonly type: 'ice-state'; readonly state: IceConnectionState }
  | { readonly type: 'ice-role'; readonly role: IceRole }
  | {
      readonly type: 'dtls-state';
      readonly state: 'connecting' | 'connected' | 'closed' | 'failed';
      /** When connected: the suite by its IANA name and the fingerprint that the peer's certificate matched. */
      readonly cipherSuite?: string | undefined;
      readonly remoteFingerprint?: Fingerprint | undefined;
      /** When failed. */
      readonly failure?: DtlsFailure;
    }
  | {
      readonly type: 'sctp-state';
      readonly state: 'connecting' | 'connected' | 'closed';
      /** When connected: the lesser of the streams each way. */
      readonly maxChannels?: number;
    }
  | { readonly type: 'relay-allocated'; readonly server: TurnServer; readonly relayed: readonly TransportAddress[] }
  /** An allocation did not come about, or has ended: its candidates' pairs are gone with it. */
  | (Omit<Extract<RelayEvent, { readonly type: 'failed' }>, 'type'> & {
      readonly type: 'relay-failed';
      readonly server: TurnServer;
    })
  /** An allocation that was withdrawn has been given back. */
  | { readonly type: 'relay-released'; readonly server: TurnServer }
  | DataChannelEvent
  /** The last event: nothing of this transport is left to send. */
  | { readonly type: 'transport-closed' };
