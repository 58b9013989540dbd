import { ByteReader, bytesToHex, concatBytes, DecodeError, type Env, equalBytes, utf8 } from '../core/index.ts';
import { type CipherSuiteName, cipherSuiteByCode, cipherSuiteByName } from './registry.ts';
import { opaque8, opaque16, opaque24, readOpaque8, readOpaque24, u8, u16 } from './wire.ts';

/**
 * What an abbreviated handshake needs of an earlier connection (RFC 5246 §7.3). It holds the master secret: keep it as
 * you would keep a key. Only connections with the extended master secret leave one (RFC 7627 §5.3).
 */
export interface DtlsSession {
  /** Session ID that the server gave; empty when it gave a ticket alone. */
  readonly id: Uint8Array;
  /** Client side: the ticket (RFC 5077 §3.3). */
  readonly ticket?: Uint8Array;
  readonly masterSecret: Uint8Array;
  readonly cipherSuite: CipherSuiteName;
  /** The name the client asked for: another name is another session (RFC 6066 §3). */
  readonly serverName?: string;
  /** The peer's chain; it is judged again when the session is resumed. */
  readonly peerCertificates: readonly Uint8Array[];
  /** Wall clock. */
  readonly createdAtMs: number;
  readonly lifetimeS: number;
}

/** RFC 5246 appendix F.1.4: "An upper limit of 24 hours is suggested for session ID lifetimes". */
export const DEFAULT_SESSION_LIFETIME_S: number = 24 * 60 * 60;

/** The longest ticket state that a server puts on the wire; with more client certificates than fit it issues none. */
export const MAX_TICKET_STATE_BYTES = 8192;

/** A wall clock may have been set back a little since the session was made. */
const CLOCK_TOLERANCE_MS = 60_000;

export function sessionExpired(session: DtlsSession, wallClockMs: number): boolean {
  const age = wallClockMs - session.createdAtMs;
  return age < -CLOCK_TOLERANCE_MS || age > session.lifetimeS * 1000;
}

/** Where a server keeps sessions that are resumed by session ID. */
export interface SessionCache {
  get(id: Uint8Array): DtlsSession | undefined;
  set(session: DtlsSession): void;
  /** RFC 5246 §7.2.2: a session whose connection failed must not be resumed. */
  delete(id: Uint8Array): void;
}

/** A bounded cache in memory that forgets the oldest session first. */
export class MemorySessionCache implements SessionCache {
  readonly #sessions = new Map<string, DtlsSession>();
  readonly #maxSessions: number;

  constructor(maxSessions = 1000) {
    this.#maxSessions = maxSessions;
  }

  get size(): number {
    return this.#sessions.size;
  }

  get(id: Uint8Array): DtlsSession | undefined {
    return this.#sessions.get(bytesToHex(id));
  }

  set(session: DtlsSession): void {
    if (this.#sessions.size >= this.#maxSessions) {
      const oldest = this.#sessions.keys().next();
      if (!oldest.done) this.#sessions.delete(oldest.value);
    }
    this.#sessions.set(bytesToHex(session.id), session);
  }

  delete(id: Uint8Array): void {
    this.#sessions.delete(bytesToHex(id));
  }
}

const STATE_VERSION = 1;

/** The server's state inside a ticket. Its layout is nobody's business but ours (RFC 5077 §4). */
export function encodeSessionState(session: DtlsSession): Uint8Array {
  const created = new Uint8Array(6);
  let ms = session.createdAtMs;
  for (let i = 5; i >= 0; i--) {
    created[i] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  return concatBytes(
    u8(STATE_VERSION),
    u16(cipherSuiteByName(session.cipherSuite)?.code ?? 0),
    created,
    opaque8(session.masterSecret),
    opaque16(utf8(session.serverName ?? '')),
    opaque24(...session.peerCertificates.map((der) => opaque24(der))),
  );
}

/** Inverse of {@link encodeSessionState}. @throws {DecodeError} */
export function decodeSessionState(bytes: Uint8Array, lifetimeS: number): DtlsSession {
  const r = new ByteReader(bytes);
  if (r.u8('state version') !== STATE_VERSION) throw new DecodeError('bad-version', 'state version', 0);
  const suite = cipherSuiteByCode(r.u16('cipher suite'));
  if (suite === undefined) throw new DecodeError('unsupported', 'cipher suite', 1);
  const createdAtMs = r.u48('created');
  const masterSecret = readOpaque8(r, 'master secret');
  const serverName = r.utf8(r.u16('server name'), 'server name');
  const list = r.sub(r.u24('certificates'), 'certificates');
  r.expectEnd('session state');
  const peerCertificates: Uint8Array[] = [];
  while (list.remaining > 0) peerCertificates.push(readOpaque24(list, 'certificate'));
  return {
    id: new Uint8Array(0),
    masterSecret,
    cipherSuite: suite.name,
    ...(serverName ? { serverName } : {}),
    peerCertificates,
    createdAtMs,
    lifetimeS,
  };
}

const KEY_NAME_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

interface TicketKey {
  readonly name: Uint8Array;
  readonly key: Uint8Array;
  readonly madeAtMs: number;
}

/**
 * The keys under which a server seals tickets (RFC 5077 §4): key_name(16) ‖ nonce(12) ‖ AES-256-GCM(state). A new key is
 * made when the current one is as old as a ticket may get; the one before still opens, so a ticket lives its whole time.
 */
export class TicketKeys {
  readonly lifetimeS: number;
  readonly #env: Env;
  #current: TicketKey;
  #previous: TicketKey | undefined;

  constructor(env: Env, lifetimeS: number = DEFAULT_SESSION_LIFETIME_S) {
    this.#env = env;
    this.lifetimeS = lifetimeS;
    this.#current = this.#make();
  }

  /** @returns a ticket for the state, or undefined when the state is too long for one. */
  seal(session: DtlsSession): Uint8Array | undefined {
    const state = encodeSessionState(session);
    if (state.length > MAX_TICKET_STATE_BYTES) return undefined;
    this.#rotate();
    const head = KEY_NAME_BYTES + NONCE_BYTES;
    const ticket = new Uint8Array(head + state.length + TAG_BYTES);
    ticket.set(this.#current.name);
    const nonce = ticket.subarray(KEY_NAME_BYTES, head);
    this.#env.random(nonce);
    ticket.set(state, head);
    const aead = this.#env.crypto.createAead('aes-256-gcm', this.#current.key);
    aead.seal(nonce, this.#current.name, ticket, head, state.length);
    return ticket;
  }

  /** The state of a ticket of ours that has not expired; undefined for every other byte string. */
  open(ticket: Uint8Array): DtlsSession | undefined {
    const head = KEY_NAME_BYTES + NONCE_BYTES;
    if (ticket.length < head + TAG_BYTES) return undefined;
    this.#rotate();
    const name = ticket.subarray(0, KEY_NAME_BYTES);
    const key = [this.#current, this.#previous].find((k) => k !== undefined && equalBytes(k.name, name));
    if (key === undefined) return undefined;
    const copy = ticket.slice();
    const aead = this.#env.crypto.createAead('aes-256-gcm', key.key);
    const length = aead.open(copy.subarray(KEY_NAME_BYTES, head), key.name, copy, head, copy.length - head);
    if (length < 0) return undefined;
    try {
      const session = decodeSessionState(copy.subarray(head, head + length), this.lifetimeS);
      return sessionExpired(session, this.#env.wallClockMs()) ? undefined : session;
    } catch (error) {
      if (error instanceof DecodeError) return undefined; // sealed by an older version of this code
      throw error;
    }
  }

  #rotate(): void {
    if (this.#env.wallClockMs() - this.#current.madeAtMs < this.lifetimeS * 1000) return;
    this.#previous = this.#current;
    this.#current = this.#make();
  }

  #make(): TicketKey {
    const name = new Uint8Array(KEY_NAME_BYTES);
    const key = new Uint8Array(32);
    this.#env.random(name);
    this.#env.random(key);
    return { name, key, madeAtMs: this.#env.wallClockMs() };
  }
}
