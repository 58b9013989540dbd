/** `o=<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>` (RFC 8866 §5.2). */
export interface Origin {
  readonly username: string;
  /** Digits, up to 63 bits (RFC 9429 §5.2.1): a string because a double cannot hold it. */
  readonly sessionId: string;
  /** Digits; grows by one with each changed description. */
  readonly sessionVersion: string;
  readonly netType: string;
  readonly addrType: string;
  readonly address: string;
}

/** `c=<nettype> <addrtype> <connection-address>` (RFC 8866 §5.7); a multicast address keeps its `/ttl/count`. */
export interface Connection {
  readonly netType: string;
  readonly addrType: string;
  readonly address: string;
}

/** `b=<bwtype>:<bandwidth>` (RFC 8866 §5.8). */
export interface Bandwidth {
  readonly type: string;
  readonly value: number;
}

/** `r=<repeat interval> <active duration> <offsets from start-time>` (RFC 8866 §5.10), each as written: `7d`, `3600`. */
export interface Repeat {
  readonly interval: string;
  readonly duration: string;
  readonly offsets: readonly string[];
}

/** One adjustment of a `z=` line (RFC 8866 §5.11): seconds since 1900, and an offset such as `-1h`. */
export interface ZoneAdjustment {
  readonly time: string;
  readonly offset: string;
}

/** `t=<start-time> <stop-time>` with the `r=` lines under it and their `z=` line (RFC 8866 §5.9). */
export interface TimeDescription {
  /** Digits: seconds since 1900, or `0`. */
  readonly start: string;
  readonly stop: string;
  readonly repeats: readonly Repeat[];
  readonly zones: readonly ZoneAdjustment[];
}

/** `a=<attribute-name>` or `a=<attribute-name>:<attribute-value>` (RFC 8866 §5.13); the value exactly as written. */
export interface Attribute {
  readonly name: string;
  readonly value: string | undefined;
}

/** What the session and each media section have in common. */
export interface AttributeScope {
  readonly attributes: readonly Attribute[];
}

/** One `m=` section (RFC 8866 §5.14). */
export interface MediaDescription extends AttributeScope {
  /** `audio`, `video`, `application`, … */
  readonly media: string;
  /** 0 to 65,535; 0 rejects or disables the section, or marks it bundle-only (RFC 9143 §6). */
  readonly port: number;
  /** The number behind `port/`, where there is one. */
  readonly portCount: number | undefined;
  /** `UDP/DTLS/SCTP`, `UDP/TLS/RTP/SAVPF`, … */
  readonly proto: string;
  readonly formats: readonly string[];
  readonly information: string | undefined;
  readonly connections: readonly Connection[];
  readonly bandwidths: readonly Bandwidth[];
  /** `k=`, obsolete (RFC 8866 §5.12): kept as written, never used. */
  readonly key: string | undefined;
}

/** A whole description, version 0 (RFC 8866 §5). */
export interface SessionDescription extends AttributeScope {
  readonly origin: Origin;
  readonly sessionName: string;
  readonly information: string | undefined;
  readonly uri: string | undefined;
  readonly emails: readonly string[];
  readonly phones: readonly string[];
  readonly connection: Connection | undefined;
  readonly bandwidths: readonly Bandwidth[];
  readonly times: readonly TimeDescription[];
  readonly key: string | undefined;
  readonly media: readonly MediaDescription[];
}

/** What a missing `c=` line is taken for, and what is written while no candidate is known (RFC 8840 §4.1.1). */
export const UNSPECIFIED_CONNECTION: Connection = { netType: 'IN', addrType: 'IP4', address: '0.0.0.0' };
