/** Lifetimes that RFC 8656 fixes, and the bounds of this module; `docs/limits.md` lists the latter. */

/** RFC 8656 §3.2, §6: what an Allocate or Refresh without LIFETIME gets. */
export const DEFAULT_LIFETIME_S = 600;
/** RFC 8656 §7.2 recommends at most one hour. */
export const MAX_LIFETIME_S = 3600;
/** RFC 8656 §9: "The Permission Lifetime MUST be 300 seconds". */
export const PERMISSION_LIFETIME_MS = 300_000;
/** RFC 8656 §12: "A channel binding lasts for 10 minutes unless refreshed". */
export const CHANNEL_LIFETIME_MS = 600_000;
/** RFC 8656 §7.2: "The server MUST hold this reservation for at least 30 seconds". */
export const RESERVATION_LIFETIME_MS = 30_000;
/** RFC 8656 §8: refresh "roughly 1 minute before it expires"; also for permissions and channels. */
export const REFRESH_MARGIN_MS = 60_000;

/** Client: requests to one server at a time (RFC 8489 §6.2: "SHOULD limit itself to ten outstanding transactions"). */
export const MAX_OUTSTANDING_REQUESTS = 10;
/** Client: peers with a permission. */
export const MAX_CLIENT_PEERS = 256;
/** Client: datagrams kept for a peer whose permission is on its way; the oldest is dropped. */
export const MAX_QUEUED_PER_PEER = 8;
/** Client: datagrams given to `send` and not yet polled. */
export const MAX_QUEUED_DATAGRAMS = 256;
/** Client: 438 and 401 answers to one request before it is given up. */
export const MAX_CHALLENGES = 4;
/** Client: bytes of a MOBILITY-TICKET; with a longer one the allocation cannot move. */
export const MAX_TICKET_BYTES = 1024;
/** Client: servers tried by ALTERNATE-SERVER. */
export const MAX_REDIRECTS = 4;

/** Server: permissions of one relayed address; more are 508. */
export const MAX_PERMISSIONS = 256;
/** Server: channels of one relayed address; more are 508. */
export const MAX_CHANNELS = 256;
/** Server: datagrams waiting for `pollTransmit`. A driver drains after each input. */
export const MAX_SERVER_QUEUE = 256;
/** Server: ports tried for one allocation before 508. */
export const MAX_PORT_ATTEMPTS = 16;
/** Server: allocations in all, by default. */
export const DEFAULT_MAX_ALLOCATIONS = 50_000;
/** Server: sources whose unauthenticated requests are counted; the oldest are forgotten. */
export const MAX_RATE_LIMITED_SOURCES = 16_384;
/** Client: chunks given to a TCP data connection and not yet polled. */
export const MAX_DATA_CONNECTION_QUEUE = 256;
