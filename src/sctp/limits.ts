/** Every bound and timer of the module, in one place; `docs/limits.md` lists what a peer can reach. */

/** Both sides of a WebRTC pair start here: RFC 8261 §5 leaves the size to us, browsers use the same number. */
export const DEFAULT_MTU_BYTES = 1191;

/** Never less: RFC 9260 §7.3 takes 512 as the smallest path MTU worth supporting. */
export const MIN_MTU_BYTES = 512;

/** The plaintext of one DTLS record (RFC 6347 §4.1.1 with RFC 5246 §6.2.1). */
export const MAX_MTU_BYTES = 16_384;

export const DEFAULT_PORT = 5000; // RFC 8841 §5
export const DEFAULT_STREAMS = 65_535; // RFC 8831 §6.2
export const DEFAULT_MAX_MESSAGE_BYTES = 262_144;

/**
 * 4 MiB fill 100 Mbit/s over 330 ms, or 1 Gbit/s over 33 ms. The peer's sender is held by this number, not by any memory
 * we set aside: nothing is allocated before data waits.
 */
export const DEFAULT_RECEIVE_WINDOW_BYTES: number = 4 * 1024 * 1024;

/**
 * What the default window may grow to when a sender fills it: 1 Gbit/s over 300 ms, and most of another round trip while a
 * loss is repaired. TSNs ({@link MAX_TSNS_AHEAD}) would not carry much more in packets of ordinary size.
 */
export const MAX_GROWN_RECEIVE_WINDOW_BYTES: number = 64 * 1024 * 1024;

/** Round trip assumed for that growth while none has been measured. */
export const ASSUMED_RTT_MS = 200;

/** The least `a_rwnd` that an INIT or INIT ACK may offer (RFC 9260 §3.3.2). */
export const LEAST_OFFERED_WINDOW_BYTES = 1500;

/** RFC 9260 §5.1.1 wants at least 1,500 bytes of window; a message must fit as well. */
export const MIN_RECEIVE_WINDOW_BYTES = 4096;

/**
 * Bytes held may exceed the window by this factor, for data that fills gaps or answers a zero-window probe. Beyond it
 * DATA is dropped whatever it is: only a peer that ignores `a_rwnd` gets there.
 */
export const RECEIVE_OVERCOMMIT = 2;

/** TSNs beyond the cumulative point that are accepted: gap ack blocks cannot name more (16-bit offsets). */
export const MAX_TSNS_AHEAD = 65_535;

/** Runs of TSNs that may be disjoint; what would start another is dropped. */
export const MAX_GAP_RUNS = 4096;

/** What one stored fragment or waiting message counts against the window besides its bytes, so that tiny ones cannot fill memory. */
export const HELD_OVERHEAD_BYTES = 64;

/**
 * Messages in pieces up to which each gets a buffer of the length that the last one on its stream had. With more, buffers grow
 * with what is in them: or else a peer could have one long message made room for with each short fragment.
 */
export const MAX_FORETOLD_MESSAGES = 16;

/** Duplicate TSNs reported in one SACK; more are only counted. */
export const MAX_DUPLICATES_REPORTED = 16;

export const DEFAULT_MAX_SEND_BUFFER_BYTES: number = 256 * 1024 * 1024;

/** Messages that may be queued, over all streams: tiny ones cost more memory than their bytes. */
export const MAX_QUEUED_MESSAGES: number = 1024 * 1024;

/** DATA chunks in flight: what gap ack blocks can name. */
export const MAX_OUTSTANDING_CHUNKS = 65_535;

/** Control chunks waiting for a packet: answers to a peer that floods us are dropped beyond it. */
export const MAX_CONTROL_CHUNKS = 64;

/** Answers to RE-CONFIG requests that wait for a packet; a flood of requests drops the oldest (RFC 6525 §5.2.1). */
export const MAX_RECONFIG_RESPONSES = 8;

/** Streams named in one reset request: half of the smallest packet. More are reset one request after the other. */
export const MAX_STREAMS_PER_REQUEST = 400;

/** Bytes of one cause that we quote back, so that an error cannot be larger than what caused it (RFC 9260 §3.3.10). */
export const MAX_QUOTED_BYTES = 512;

/** Valid.Cookie.Life (RFC 9260 §16). */
export const COOKIE_LIFE_MS = 60_000;

/** A clock of coarse grain may say that a round trip took no time; rates are round trips divided by. */
export const LEAST_RTT_MS = 0.01;

/** RFC 9260 §16 says 1 s; browsers and RFC 8831's peers start at 500 ms, which halves the cost of a lost INIT. */
export const RTO_INITIAL_MS = 500;

/** RFC 9260 §16 says 1 s; 400 ms is twice the peer's delayed SACK and what browsers use. */
export const RTO_MIN_MS = 400;

/** RTO is at least this much above the smoothed round trip: the peer's SACK delay and a little (RFC 9260 §6.3.1 C7's G). */
export const RTO_MARGIN_MS = 220;

/** RTO.Max (RFC 9260 §16). */
export const RTO_MAX_MS = 60_000;

/** During set-up a lost packet must not cost a minute: RTO is capped lower until the association is up. */
export const RTO_MAX_INIT_MS = 3_000;

/** Association.Max.Retrans (RFC 9260 §16). */
export const DEFAULT_MAX_RETRANSMISSIONS = 10;

/** Max.Init.Retransmits (RFC 9260 §16). */
export const DEFAULT_MAX_INIT_RETRANSMISSIONS = 8;

/** HB.interval (RFC 9260 §16). */
export const DEFAULT_HEARTBEAT_INTERVAL_MS = 30_000;

/** SACK.Delay (RFC 9260 §16). */
export const SACK_DELAY_MS = 200;

/** RFC 9260 §6.2: an acknowledgement for at least every second packet. */
export const SACK_EVERY_PACKETS = 2;

/** Packets that one acknowledgement may cover when they arrive in one batch, from a sender that asks for SACKs by itself. */
export const SACK_BATCH_PACKETS = 16;

/** While much is in flight every so many packets ask for a SACK (RFC 7053 §5.1): what shows that we do. */
export const SACK_ASK_PACKETS = 16;

/** Max.Burst (RFC 9260 §16): what others send for one SACK. We pace instead. */
export const MAX_BURST_PACKETS = 4;
