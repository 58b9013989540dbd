import {
  bytesToHex,
  DeadlineHeap,
  DropCounters,
  type DropReason,
  type Env,
  equalBytes,
  type FiveTuple,
  type Instant,
  NEVER,
  Ring,
  type SansIo,
  type TransmitSlot,
  UsageError,
} from '../core/index.ts';
import { Association, type DtlsConnectionId, helloRandom, isClientHello, pathKey } from './association.ts';
import { HelloDesk } from './hello-desk.ts';
import { CONTENT_TLS12_CID } from './registry.ts';
import type { DtlsEndpoint, DtlsEvent, DtlsServerOptions } from './types.ts';

export const DEFAULT_MAX_CONNECTIONS = 10_000;
export const DEFAULT_IDLE_TIMEOUT_MS = 300_000;
/** A handshake has so long for itself; then it makes room for another client, where there is none. */
export const HANDSHAKE_RESERVED_MS = 10_000;

export interface DtlsListenerOptions {
  readonly env: Env;
  /**
   * Options for a client that says hello; undefined refuses it silently. Asked for each ClientHello, also before the
   * cookie has proved the address: it must be cheap and remember nothing.
   */
  readonly accept: (
    path: FiveTuple,
  ) => Omit<DtlsServerOptions, 'env' | 'cookies' | 'cookieExchange' | 'clientIdentity' | 'connectionId'> | undefined;
  /**
   * Associations at one time; default 10,000. Beyond it a handshake that has not come to its end in
   * 10 s makes room; where there is none ClientHellos are dropped.
   */
  readonly maxConnections?: number;
  /** An association from which nothing authentic came for so long is closed; ms, default 300,000. */
  readonly idleTimeoutMs?: number;
  /**
   * Length of the connection IDs given to clients that know RFC 9146, 4 to 20; with them a client keeps its association
   * when its address changes. 0, the default: none.
   */
  readonly connectionIdBytes?: number;
}

export type DtlsListenerEvent =
  /** A client has proved its address; the handshake goes on. */
  | { readonly type: 'accepted'; readonly connection: DtlsConnectionId; readonly path: FiveTuple }
  /** An event of one association. Bytes in it are borrowed until the next call. */
  | {
      readonly type: 'dtls';
      readonly connection: DtlsConnectionId;
      readonly path: FiveTuple;
      readonly event: DtlsEvent;
    }
  /** The client is at another address now, and has proved it (RFC 9146 §6, `PeerAddress`). */
  | {
      readonly type: 'migrated';
      readonly connection: DtlsConnectionId;
      readonly from: FiveTuple;
      readonly path: FiveTuple;
    }
  /** Forgotten: closed, failed, idle, or replaced by a new association from the same address. */
  | { readonly type: 'removed'; readonly connection: DtlsConnectionId };

/**
 * Many DTLS servers on one UDP port, sans-IO: no state for a client before its cookie is right (RFC 6347 §4.2.1), one
 * association for each address, idle ones closed, and connection IDs followed to new addresses (RFC 9146 §6).
 *
 * ```text
 * datagram → connection ID known?  → that association (its address moves when the peer has shown to be there)
 *          → address known?        → that association; a plaintext ClientHello is tried beside it (RFC 6347 §4.2.8)
 *          → otherwise             → a server without state: HelloVerifyRequest, or an association when the cookie fits
 * ```
 *
 * @example
 * const listener = new DtlsListener({ env, accept: () => ({ certificate }) });
 * const shell = new UdpShell({
 *   core: listener,
 *   onEvent: (e) => {
 *     if (e.type === 'dtls' && e.event.type === 'data') {
 *       const bytes = e.event.bytes;
 *       if (listener.connection(e.connection)?.state !== 'connected') return; // it has said goodbye in the same datagram
 *       shell.driver.mutate((now) => listener.send(e.connection, bytes, now)); // echo
 *     }
 *   },
 * });
 */
export class DtlsListener implements SansIo<DtlsListenerEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly #options: DtlsListenerOptions;
  readonly #env: Env;
  readonly #desk: HelloDesk;
  readonly #maxConnections: number;
  readonly #idleTimeoutMs: number;
  readonly #cidBytes: number;
  readonly #byId = new Map<DtlsConnectionId, Association>();
  readonly #byPath = new Map<string, Association>();
  readonly #byCid = new Map<string, Association>();
  /** New associations from an address that has one already, until they are connected. */
  readonly #candidates = new Map<string, Association>();
  /** Whose handshake is not complete, the oldest first. */
  readonly #handshaking = new Set<Association>();
  readonly #deadlines = new DeadlineHeap<Association>();
  readonly #events = new Ring<DtlsListenerEvent>();
  readonly #sending = new Ring<Association>();
  readonly #reporting = new Ring<Association>();
  #nextId: DtlsConnectionId = 1;

  /** @throws {UsageError} for options outside their range. */
  constructor(options: DtlsListenerOptions) {
    this.#options = options;
    this.#env = options.env;
    this.#maxConnections = options.maxConnections ?? DEFAULT_MAX_CONNECTIONS;
    this.#idleTimeoutMs = options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS;
    this.#cidBytes = options.connectionIdBytes ?? 0;
    if (this.#cidBytes !== 0 && !(this.#cidBytes >= 4 && this.#cidBytes <= 20)) {
      throw new UsageError('connectionIdBytes must be 0, or from 4 to 20');
    }
    if (!(this.#idleTimeoutMs > 0)) throw new UsageError('idleTimeoutMs must be positive');
    this.#desk = new HelloDesk({
      env: this.#env,
      connectionIdBytes: this.#cidBytes,
      accept: (path) => this.#admit(path),
      drop: (reason, detail) => this.#drop(reason, detail),
    });
  }

  get connectionCount(): number {
    return this.#byId.size;
  }

  /** The endpoint of an association, to look at; send and close through the listener. */
  connection(id: DtlsConnectionId): DtlsEndpoint | undefined {
    return this.#byId.get(id)?.server;
  }

  /** Sends one record. @throws {UsageError} unknown or not connected, or too long. */
  send(id: DtlsConnectionId, bytes: Uint8Array, now: Instant): void {
    const association = this.#byId.get(id);
    if (association === undefined) throw new UsageError(`there is no connection ${id}`);
    association.server.send(bytes, now);
    this.#touch(association);
  }

  /** Sends close_notify; an unknown connection is closed already. */
  close(id: DtlsConnectionId, now: Instant): void {
    const association = this.#byId.get(id);
    if (association === undefined) return;
    association.server.close(now);
    this.#touch(association);
  }

  /** As `DtlsEndpoint.limitDatagramBytes`; an unknown connection needs no datagrams. */
  limitDatagramBytes(id: DtlsConnectionId, bytes: number, now: Instant): void {
    const association = this.#byId.get(id);
    if (association === undefined) return;
    association.server.limitDatagramBytes(bytes, now);
    this.#touch(association);
  }

  closeAll(now: Instant): void {
    for (const id of [...this.#byId.keys()]) this.close(id, now);
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    const key = pathKey(path);
    if (bytes[0] === CONTENT_TLS12_CID) {
      const cid = bytesToHex(bytes.subarray(11, 11 + this.#cidBytes));
      const association = this.#byCid.get(cid);
      if (association === undefined) this.#drop('unknown-peer', 'connection ID');
      else this.#feed(association, bytes, path, key, now);
      return;
    }
    const association = this.#byPath.get(key);
    if (association === undefined) {
      this.#handleUnknown(bytes, path, key, now);
      return;
    }
    if (this.#candidates.has(key) || this.#isRestart(association, bytes)) {
      this.#handleRestart(bytes.slice(), path, key, now); // a copy: opening destroys what is not the candidate's
      if (this.#byPath.get(key) !== association) return;
    }
    this.#feed(association, bytes, path, key, now);
  }

  handleTimeout(now: Instant): void {
    for (let due = this.#deadlines.takeDue(now); due !== undefined; due = this.#deadlines.takeDue(now)) {
      due.server.handleTimeout(now);
      if (now >= due.lastHeardAt + this.#idleTimeoutMs) due.server.close(now);
      this.#touch(due);
    }
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    if (this.#desk.pollTransmit(slot, now)) return true;
    for (let next = this.#sending.peek(); next !== undefined; next = this.#sending.peek()) {
      if (next.server.pollTransmit(slot, now)) {
        slot.path = next.address.route(slot.length);
        return true;
      }
      next.sending = false;
      this.#sending.shift();
    }
    return false;
  }

  pollEvent(): DtlsListenerEvent | undefined {
    for (;;) {
      const own = this.#events.shift();
      if (own !== undefined) return own;
      const next = this.#reporting.peek();
      if (next === undefined) return undefined;
      const event = next.server.pollEvent();
      if (event !== undefined) return { type: 'dtls', connection: next.id, path: next.address.path, event };
      next.reporting = false;
      this.#reporting.shift();
      if (next.isOver) this.#remove(next);
    }
  }

  nextTimeout(): Instant {
    return this.#deadlines.next();
  }

  /** A client without an association: nothing is kept of it unless its cookie is right, or its hello is in fragments. */
  #handleUnknown(bytes: Uint8Array, path: FiveTuple, key: string, now: Instant): void {
    if (!isClientHello(bytes)) {
      this.#drop('unknown-path', 'datagram');
      return;
    }
    const accepted = this.#handleHello(bytes, path, key, now);
    if (accepted === undefined) return;
    this.#byPath.set(key, accepted);
    this.#events.push({ type: 'accepted', connection: accepted.id, path });
    this.#touch(accepted);
  }

  /** A ClientHello that is no retransmission of the association's own. */
  #isRestart(association: Association, bytes: Uint8Array): boolean {
    if (!isClientHello(bytes)) return false;
    const random = helloRandom(bytes);
    if (random.length === 0) return this.#desk.holds(association.address.key); // more of a hello that began as a new one
    return !equalBytes(random, association.server.clientRandom);
  }

  /** RFC 6347 §4.2.8: the new association replaces the old one when its handshake is complete, not before. */
  #handleRestart(bytes: Uint8Array, path: FiveTuple, key: string, now: Instant): void {
    const candidate = this.#candidates.get(key);
    if (candidate !== undefined) {
      candidate.server.handleInput(bytes, undefined, now);
      if (candidate.server.state === 'connected') {
        this.#candidates.delete(key);
        const old = this.#byPath.get(key);
        this.#byPath.set(key, candidate);
        if (old !== undefined) this.#remove(old);
      }
      this.#touch(candidate);
      return;
    }
    const accepted = this.#handleHello(bytes, path, key, now);
    if (accepted === undefined) return;
    this.#events.push({ type: 'accepted', connection: accepted.id, path });
    const old = this.#byPath.get(key);
    if (old?.server.state === 'connected') {
      this.#candidates.set(key, accepted);
    } else {
      // Neither has proved more than its address, and the old one's retransmissions would only confuse the client.
      this.#byPath.set(key, accepted);
      if (old !== undefined) this.#remove(old);
    }
    this.#touch(accepted);
  }

  #admit(path: FiveTuple): DtlsServerOptions | undefined {
    if (this.#byId.size >= this.#maxConnections && this.#handshaking.size === 0) {
      this.#drop('limit', 'ClientHello: too many connections');
      return undefined;
    }
    const options = this.#options.accept(path);
    if (options === undefined) this.#drop('unknown-peer', 'ClientHello: not accepted');
    return options && { ...options, env: this.#env };
  }

  /** @returns an association once the cookie was right. */
  #handleHello(bytes: Uint8Array, path: FiveTuple, key: string, now: Instant): Association | undefined {
    const server = this.#desk.handleHello(bytes, path, key, now);
    if (server === undefined) return undefined;
    if (this.#byId.size >= this.#maxConnections && !this.#makeRoom(now)) {
      this.#drop('limit', 'ClientHello: too many connections');
      return undefined;
    }
    const association = new Association(this.#nextId++, server, path, now);
    this.#handshaking.add(association);
    this.#byId.set(association.id, association);
    if (association.cid !== '') this.#byCid.set(association.cid, association);
    return association;
  }

  /** A cookie costs next to nothing: who goes no further must not keep others out. @returns whether there is room now. */
  #makeRoom(now: Instant): boolean {
    for (const oldest of this.#handshaking) {
      if (now < oldest.lastHeardAt + HANDSHAKE_RESERVED_MS) return false;
      this.#remove(oldest);
      return true;
    }
    return false;
  }

  #feed(association: Association, bytes: Uint8Array, path: FiveTuple, key: string, now: Instant): void {
    const { server, address } = association;
    const newest = server.newestSequence;
    // Opening destroys the datagram, and a copy of a record is looked at again below.
    const copy = address.onTrial && address.key === key ? bytes.slice() : undefined;
    server.handleInput(bytes, undefined, now);
    if (server.newestSequence > newest) {
      association.lastHeardAt = now;
      this.#heard(association, bytes.length, path, key, now);
    } else if (copy !== undefined && server.authenticates(copy, address.trialSequence)) {
      // What the address on trial sent comes from the settled one too: somebody copies records.
      address.returned();
      this.#drop('unknown-path', 'migration by a copied record');
    }
    this.#touch(association);
  }

  /**
   * RFC 9146 §6: only for a record that is authentic and newer than every other. Nobody is driven from an address by it:
   * while another association is there, answers keep going to the old address.
   */
  #heard(association: Association, bytes: number, path: FiveTuple, key: string, now: Instant) {
    const { address, server } = association;
    if (key !== address.key && this.#byPath.has(key))
      return this.#drop('unknown-path', 'migration to an address in use');
    const from = address.path;
    const fromKey = address.key;
    const change = address.heard(path, key, bytes, server.newestSequence, now);
    if (change === 'returned') this.#drop('unknown-path', 'migration that was none');
    if (change !== 'moved') return;
    this.#leave(association, fromKey);
    this.#byPath.set(key, association);
    this.#events.push({ type: 'migrated', connection: association.id, from, path });
  }

  /** After each change: it may have something to send or to say, and another deadline. */
  #touch(association: Association): void {
    if (association.server.state === 'connected') this.#handshaking.delete(association);
    if (!association.sending) {
      association.sending = true;
      this.#sending.push(association);
    }
    if (!association.reporting) {
      association.reporting = true;
      this.#reporting.push(association);
    }
    // Once it is over it has no deadline: it is removed as soon as its last events are read.
    const deadline = Math.min(association.server.nextTimeout(), association.lastHeardAt + this.#idleTimeoutMs);
    this.#deadlines.set(association, association.isOver ? NEVER : deadline);
  }

  #remove(association: Association): void {
    if (!this.#byId.delete(association.id)) return;
    this.#deadlines.remove(association);
    this.#handshaking.delete(association);
    this.#leave(association, association.address.key);
    if (this.#candidates.get(association.address.key) === association) this.#candidates.delete(association.address.key);
    if (this.#byCid.get(association.cid) === association) this.#byCid.delete(association.cid);
    this.#events.push({ type: 'removed', connection: association.id });
  }

  /** It is not at that address any more; who was to replace it there, is. */
  #leave(association: Association, key: string): void {
    if (this.#byPath.get(key) !== association) return;
    this.#byPath.delete(key);
    const candidate = this.#candidates.get(key);
    if (candidate === undefined) return;
    this.#candidates.delete(key);
    this.#byPath.set(key, candidate);
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#env.trace.drop('dtls-listener', reason, detail);
  }
}
