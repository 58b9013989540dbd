/** Every time and every bound of the agent in one place; `docs/limits.md` lists them. Times are milliseconds. */

/** RFC 8445 §14.2: default spacing of checks. */
export const TA_MS = 50;

/** RFC 8445 §14.2: no agent may send transactions faster than this. */
export const MIN_TA_MS = 5;

/** RFC 8445 §14.3: "Agents MUST NOT use an RTO value smaller than 500 ms". */
export const MIN_RTO_MS = 500;

/** RFC 8489 §6.2.1 Rc and Rm: transmissions of one request, and the last wait in RTOs. */
export const MAX_SENDS = 7;
export const FINAL_WAIT_FACTOR = 16;

/**
 * The longest life of one check: the schedule of RFC 8489 §6.2.1 at the least RTO. A longer RTO spaces transmissions
 * out but does not outlive it, so that the verdict of failure has one known time (also the PAC timer's).
 */
export const CHECK_TIMEOUT_MS = 39_500;

/** RFC 8863 §4: "RECOMMENDED … equal to the agent's connectivity check transaction timeout". */
export const PAC_TIMEOUT_MS: number = CHECK_TIMEOUT_MS;

/** RFC 7675 §5.1: consent checks every 5 s, each interval times 0.8 to 1.2. */
export const CONSENT_INTERVAL_MS = 5000;
/** RFC 7675 §5.1: "Consent expires after 30 seconds". */
export const CONSENT_EXPIRY_MS = 30_000;

/** Silence of the selected pair (no authenticated STUN, no data) after which it counts as disconnected. */
export const DISCONNECTED_MS = 8000;
/**
 * Part of that silence after which the pair is probed by a check with retransmissions, so that the loss of two or three
 * single datagrams (a consent check is sent once) does not count as a lost path. Above the 6 s that may lie between two of them.
 */
export const PROBE_SHARE = 0.8;

/**
 * How long nominating waits, after the first pair became valid, for pairs of higher priority that are still being
 * checked. Data flows meanwhile (RFC 8445 §12.1 allows any valid pair), but some peers send nothing before they are
 * nominated. A direct pair waits for jitter: better pairs were checked earlier, so their answers come earlier. A relayed
 * pair waits for two retransmissions of the direct ones.
 */
export const NOMINATION_GRACE_DIRECT_MS = 200;
export const NOMINATION_GRACE_RELAY_MS = 2000;

/** A nomination of another pair later than this after the last one of the current pair replaces it (see nomination.ts). */
export const AGGRESSIVE_NOMINATION_WINDOW_MS = 3000;

/** RFC 8445 §11 Tr: keepalive of a server-reflexive binding while checks go on, and of the path between two lite agents. */
export const KEEPALIVE_MS = 15_000;

/**
 * How long the generation before a restart lives on when the new one has its pair: what is under way over the old pair is
 * still accepted (RFC 8445 §8.3.1 has the same three seconds for candidates).
 */
export const RETIRE_MS = 3000;

/** Candidates of one side in one generation, peer-reflexive ones among them. */
export const MAX_LOCAL_CANDIDATES = 64;
export const MAX_REMOTE_CANDIDATES = 64;

/** RFC 8445 §6.1.2.5: default limit of candidate pairs. */
export const MAX_PAIRS = 100;

/** Authenticated checks kept until the remote credentials are known (RFC 8445 §7.3). */
export const MAX_EARLY_CHECKS = 16;

/**
 * The longest wait for a STUN server. RFC 8489 §6.2.1 would wait 39.5 s; browsers give up after 9.5 s, so that a dead
 * server does not hold back end-of-candidates.
 */
export const GATHERING_TIMEOUT_MS = 9500;

/** Transaction IDs of authentic checks remembered with their path, so that a replay from elsewhere is noticed. */
export const MAX_SEEN_REQUESTS = 1024;

/** STUN servers, and Binding transactions to them at a time. */
export const MAX_STUN_SERVERS = 16;
export const MAX_GATHERING_TRANSACTIONS = 256;

/** Check and consent transactions at a time. */
export const MAX_CHECK_TRANSACTIONS = 512;

/** Role switches that 487 responses and conflicting requests may cause in one generation; later ones are refused. */
export const MAX_ROLE_SWITCHES = 16;

/** Succeeded pairs besides the selected one that are kept warm by consent checks. */
export const MAX_WARM_PAIRS = 3;

/** Datagrams waiting for `pollTransmit`: more only when nobody polls. */
export const MAX_QUEUED_DATAGRAMS = 512;

/** Names waiting to be resolved (`.local` candidates). */
export const MAX_PENDING_NAMES = 32;

/** Paths that a mux remembers for one owner: as many as an agent can have pairs, and some that it only tried. */
export const MAX_MUX_ADDRESSES = 128;

/** RFC 8839 §5.4: characters of a ufrag and of a password. */
export const MIN_UFRAG_LENGTH = 4;
export const MIN_PASSWORD_LENGTH = 22;
export const MAX_CREDENTIAL_LENGTH = 256;
