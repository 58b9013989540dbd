import type {
  DropCounters,
  Env,
  GroupName,
  Instant,
  SansIo,
  SignatureScheme,
  SigningKey,
  TransmitSlot,
} from '../core/index.ts';
import type { AlertDescription, AlertLevel } from './alert.ts';
import type { CookieJar } from './cookie.ts';
import type { CipherSuiteName } from './registry.ts';
import type { DtlsSession, SessionCache, TicketKeys } from './session.ts';

/** `new` until a handshake begins; `closed` after close_notify in either direction; `failed` after a fatal alert or timeout. */
export type DtlsState = 'new' | 'connecting' | 'connected' | 'closed' | 'failed';

/** An own certificate with its private key; the `Certificate` of `purertc/crypto` is one. */
export interface DtlsCertificate {
  /** DER of the end-entity certificate. */
  readonly der: Uint8Array;
  readonly key: SigningKey;
  /** Intermediate certificates behind it, each DER, in the order of RFC 5246 §7.4.2. */
  readonly chain?: readonly Uint8Array[];
}

/** A pre-shared key and the name it goes by (RFC 4279 §5). */
export interface PskCredential {
  readonly identity: Uint8Array;
  readonly key: Uint8Array;
}

/** What both sides take. Bytes given here are kept, not copied: do not change them. */
export interface DtlsOptions {
  readonly env: Env;
  /** Own certificate, or several for the peer to choose from by key type. */
  readonly certificate?: DtlsCertificate | readonly DtlsCertificate[];
  /**
   * Judges the peer's certificate chain (DER, end-entity first, never empty), before anything is sent that depends on
   * it. Returns the alert to fail with, such as `bad_certificate` for a fingerprint that does not match, or undefined to
   * accept. That the peer holds the private key is proved afterwards by the handshake itself. The chain is the
   * callee's to keep. Without it every certificate is refused (`certificate_unknown`).
   */
  readonly verifyPeer?: (chain: readonly Uint8Array[]) => AlertDescription | undefined;
  /**
   * Suites in order of preference; the server's order decides. Default: ECDHE with GCM and ChaCha20, and PSK suites behind them where
   * a PSK is given, in both cases with the cipher first that the backend finds cheapest (`CryptoBackend.aeadPreference`).
   * Suites of ciphers that the backend does not have are left out of the default, and are a `UsageError` where they are named.
   */
  readonly cipherSuites?: readonly CipherSuiteName[];
  /** Groups in order of preference; default X25519, P-256, P-384. */
  readonly groups?: readonly GroupName[];
  /** Refuse peers without RFC 7627 (WebRTC requires it); default true. */
  readonly requireExtendedMasterSecret?: boolean;
  /**
   * First retransmission time-out in ms (RFC 6347 §4.2.4.1); default 1000, at least 50. With a known RTT give about 1.5 times of
   * it. Later flights go by what the earlier ones have measured.
   */
  readonly initialRtoMs?: number;
  /** The time-out doubles up to this, ms; default 60,000. */
  readonly maxRtoMs?: number;
  /** A flight is sent again at most this often by time-out, then the handshake has failed; default 12. */
  readonly maxRetransmissions?: number;
  /** Largest datagram of the handshake in bytes of UDP payload, 64 at least; default 1200. Unanswered flights shrink below it (RFC 6347 §4.1.1.1). */
  readonly mtuBytes?: number;
  /** SRTP protection profiles of RFC 5764 §4.1.2 in order of preference; none by default, then use_srtp is neither offered nor answered. */
  readonly srtpProfiles?: readonly number[];
  /** Application protocols in order of preference (RFC 7301), such as `webrtc`, `c-webrtc`. */
  readonly alpn?: readonly string[];
  /** Receives NSS key log lines (`CLIENT_RANDOM …`) without a line break. They reveal everything: debugging only. */
  readonly keyLog?: (line: string) => void;
  /** Ask the peer to put this connection ID into its records (RFC 9146); empty: only take the peer's. At most 20 bytes. */
  readonly connectionId?: Uint8Array;
  /** Largest plaintext record to receive, announced to the peer (RFC 8449 §4), 64 to 16,384; not announced by default. */
  readonly recordSizeLimitBytes?: number | undefined;
  /** Bounds of key usage, for tests; the defaults follow RFC 8446 §5.5 and RFC 9147 §4.5.3. */
  readonly keyLimits?: { readonly maxSealedBlocks?: number; readonly maxFailedRecords?: number };
}

export interface DtlsClientOptions extends DtlsOptions {
  /** Host name for server_name (RFC 6066 §3), ASCII without a final dot; never an IP address. */
  readonly serverName?: string;
  /** Key for PSK suites; the identity hint of the server is given if it sent one. */
  readonly psk?: PskCredential | ((hint: Uint8Array | undefined) => PskCredential | undefined);
  /** A session of an earlier connection to the same server, to resume (RFC 5246 §7.3, RFC 5077). */
  readonly session?: DtlsSession;
  /** Offer RFC 5077 tickets; default false. A session with a ticket offers it in any case. */
  readonly tickets?: boolean;
  /** Refuse servers without RFC 5746; default true. Only old IoT servers lack it. */
  readonly requireRenegotiationInfo?: boolean;
}

export interface DtlsServerOptions extends DtlsOptions {
  /** Ask the client for a certificate; default false. */
  readonly requestClientCertificate?: boolean;
  /** Refuse clients that send none; default: whenever one is requested. */
  readonly requireClientCertificate?: boolean;
  /**
   * Prove with HelloVerifyRequest that the client owns its address before any state is made (RFC 6347 §4.2.1); default
   * true. WebRTC switches it off, as browsers do: ICE has checked the path already.
   */
  readonly cookieExchange?: boolean;
  /** The secret behind the cookies; share one among all servers of a socket. By default each server has its own. */
  readonly cookies?: CookieJar;
  /** What a cookie is bound to: the client's address and port, as bytes. Empty by default. */
  readonly clientIdentity?: Uint8Array;
  /** Looks up the key for an identity; undefined: `unknown_psk_identity`. Enables PSK suites. */
  readonly psk?: (identity: Uint8Array) => Uint8Array | undefined;
  /** Hint that helps the client to choose its identity (RFC 4279 §5.2). */
  readonly pskIdentityHint?: Uint8Array;
  /** Sessions for resumption by session ID; without it none is resumable that way. */
  readonly sessionCache?: SessionCache;
  /** Keys for session tickets; without them none are issued or taken. */
  readonly ticketKeys?: TicketKeys;
}

/** What the handshake agreed on. */
export interface Negotiated {
  readonly cipherSuite: CipherSuiteName;
  /** Absent for PSK without ECDHE and for resumed sessions. */
  readonly group?: GroupName;
  /** The scheme of the peer's signature (ServerKeyExchange or CertificateVerify), where it made one. */
  readonly peerSignatureScheme?: SignatureScheme;
  readonly extendedMasterSecret: boolean;
  /** An abbreviated handshake (RFC 5246 §7.3). */
  readonly resumed: boolean;
  readonly alpn?: string;
  /** What the client asked for (server side). */
  readonly serverName?: string;
  readonly srtpProfile?: number;
  readonly pskIdentity?: Uint8Array;
  /** Largest plaintext the peer takes in one record (RFC 8449 §4); 16,384 unless it said less. */
  readonly maxSendRecordBytes: number;
  /** What the peer said of that; absent when it said nothing, and may have room for less than the protocol allows. */
  readonly recordSizeLimitBytes?: number;
  /** The connection ID in our records to the peer, and in the peer's records to us; absent unless negotiated (RFC 9146 §3). */
  readonly sendConnectionId?: Uint8Array;
  readonly receiveConnectionId?: Uint8Array;
}

export type DtlsEvent =
  | { readonly type: 'state'; readonly state: DtlsState; readonly reason?: string }
  | ({ readonly type: 'connected' } & Negotiated)
  /** One record's worth. `bytes` is borrowed until the next call into the core. */
  | { readonly type: 'data'; readonly bytes: Uint8Array }
  | {
      readonly type: 'alert';
      readonly direction: 'sent' | 'received';
      readonly level: AlertLevel;
      /** The RFC's name, or the number of one that this module does not know. */
      readonly description: AlertDescription | number;
    }
  /** Client only: a session that a later connection may resume. */
  | { readonly type: 'session'; readonly session: DtlsSession }
  | { readonly type: 'closed' }
  | { readonly type: 'failed'; readonly error: DtlsFailure };

/** Why a connection failed. `alert` is absent when time ran out. */
export interface DtlsFailure {
  readonly alert?: AlertDescription | number;
  /** Who noticed: `local` sent the alert, `remote` received one, `timeout` neither. */
  readonly by: 'local' | 'remote' | 'timeout';
  readonly message: string;
}

/** One end of a DTLS 1.2 connection: the common face of `DtlsClient` and `DtlsServer`. */
export interface DtlsEndpoint extends SansIo<DtlsEvent, void> {
  readonly role: 'client' | 'server';
  readonly state: DtlsState;
  readonly drops: DropCounters;
  /** What was agreed, once connected. */
  readonly negotiated: Negotiated | undefined;
  /** The peer's chain (DER, end-entity first); empty until it was accepted, or if it sent none. */
  readonly peerCertificates: readonly Uint8Array[];
  /** Bytes that `sealInPlace` needs free in front of the plaintext: record header and explicit nonce. */
  readonly recordHeadroom: number;
  /** Bytes by which a record is longer than its plaintext. */
  readonly recordOverhead: number;
  /**
   * Sends `bytes` as one record, copied. For stand-alone use.
   * @throws {UsageError} not connected, or longer than one record may be.
   */
  send(bytes: Uint8Array, now: Instant): void;
  /**
   * Turns the plaintext in `slot.buffer[offset, offset + length)` into a record around it: the header goes in front
   * ({@link recordHeadroom}), the tag behind; `offset` and `length` then span the record.
   * @throws {UsageError} not connected, too long, or no room around it.
   */
  sealInPlace(slot: TransmitSlot<unknown>): void;
  /** Keying material (RFC 5705 §4); an absent context differs from an empty one. @throws {UsageError} not connected, or a reserved label. */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, lengthBytes: number): Uint8Array;
  /**
   * The system has said that the path carries datagrams of so many bytes of UDP payload and no more (`EMSGSIZE`, or an ICMP
   * message; RFC 6347 §4.1.1.1). The handshake keeps to it from now on, 64 bytes at least, and sends a flight again that had longer
   * ones. Data is the caller's to size.
   */
  limitDatagramBytes(bytes: number, now: Instant): void;
  /** Sends close_notify and closes; a handshake in progress is abandoned. Idempotent. */
  close(now: Instant): void;
}
