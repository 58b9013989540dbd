import {
  type DropCounters,
  type DropReason,
  type Env,
  type FiveTuple,
  formatAddress,
  type Instant,
  ipFamily,
  NEVER,
  Ring,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { DtlsClient, type DtlsEvent, type DtlsOptions } from '../dtls/index.ts';
import { TurnClient, type TurnClientEvent, type TurnClientOptions, type TurnFailure } from '../turn/index.ts';

/** A TURN server as a composer names it. */
export interface TurnServer {
  /**
   * From a bound socket, or over a connection that stands (`tcp`, `tls`), to the server. With `dtls` the records travel
   * over UDP: on the wire the path's protocol is `udp`.
   */
  readonly path: FiveTuple;
  readonly username: string;
  readonly password: string;
  /** As the application wrote it; candidates and errors carry it. */
  readonly url: string;
  /** Anything else of the TURN client. */
  readonly turn?: Pick<
    TurnClientOptions,
    | 'accessToken'
    | 'additionalFamily'
    | 'dontFragment'
    | 'followUnsignedRedirects'
    | 'lifetimeS'
    | 'origin'
    | 'software'
  >;
  /** For `dtls`: how the server proves who it is. Without `verifyPeer` every certificate is refused. */
  readonly dtls?: Pick<DtlsOptions, 'verifyPeer'> & { readonly serverName?: string };
}

/** Why there is no relay: what TURN says, or `disconnected` when the way to the server has ended. */
export type RelayFailure = TurnFailure | 'disconnected';

/** What a {@link Relay} reports. */
export type RelayEvent =
  | {
      readonly type: 'allocated';
      readonly relayed: readonly TransportAddress[];
      /** Our address as the server sees it. */
      readonly mapped: TransportAddress;
    }
  /** From a peer, through the relay. `bytes` is borrowed until the next call; `path.local` is the relayed address. */
  | { readonly type: 'data'; readonly bytes: Uint8Array; readonly path: FiveTuple }
  | {
      readonly type: 'failed';
      readonly failure: RelayFailure;
      /** STUN error code, or 701 where the server could not be reached. */
      readonly code: number;
      readonly reason: string;
      /** Where a redirection over TCP, TLS or DTLS points to. */
      readonly alternateServer: TransportAddress | undefined;
      /** And the name in its certificate, where it is another one (RFC 8489 §14.16). */
      readonly alternateDomain?: string | undefined;
      /** How long to leave this server alone (RFC 8656 §7.4). */
      readonly retryAfterMs: number;
      /** What is gone with it. */
      readonly relayed: readonly TransportAddress[];
    }
  /** It was given back, and the way to the server is free. */
  | { readonly type: 'released' };

/** W3C RTCPeerConnectionIceErrorEvent: the server could not be reached. */
const UNREACHABLE = 701;

/** Peers that a relay keeps a path for; as many as `TurnClient` has permissions. More begin anew. */
export const MAX_RELAY_PATHS = 256;

/** RFC 8489 §5: the method bits of a message type, and Binding. */
const METHOD_MASK = 0x3eef;
const BINDING = 0x0001;

/**
 * One allocation on one TURN server, and the way there: messages travel as they are over UDP, TCP and TLS, and in the
 * records of a DTLS connection of its own otherwise (RFC 7350).
 */
export class Relay {
  readonly server: TurnServer;
  readonly #env: Env;
  readonly #drops: DropCounters;
  readonly #client: TurnClient;
  readonly #dtls: DtlsClient | undefined;
  /** Of DTLS records. */
  readonly #recordPath: FiveTuple;
  readonly #events = new Ring<RelayEvent>();
  /** One path object for each peer, as shells have one for each sender. */
  readonly #paths = new Map<string, FiveTuple>();
  #pathOfPeer = new WeakMap<TransportAddress, FiveTuple>();
  /** IP addresses that the server does not relay to. */
  readonly #refused = new Set<string>();
  #relayed: readonly TransportAddress[] = [];
  #state: 'allocating' | 'allocated' | 'closing' | 'over' = 'allocating';

  /**
   * @param drops - counts what does not get to the server.
   * @throws {UsageError} for credentials that cannot be prepared (RFC 8265 §4.2).
   */
  constructor(env: Env, server: TurnServer, drops: DropCounters) {
    const { path, username, password, turn } = server;
    this.#env = env;
    this.#drops = drops;
    this.server = server;
    this.#client = new TurnClient({ ...turn, env, path, username, password });
    this.#recordPath = { ...path, protocol: 'udp' };
    if (path.protocol === 'dtls')
      this.#dtls = new DtlsClient({ requireExtendedMasterSecret: false, ...server.dtls, env });
  }

  /** The allocation may still come. */
  get isPending(): boolean {
    return this.#state === 'allocating';
  }

  /** Nothing comes of it any more. */
  get isOver(): boolean {
    return this.#state === 'over';
  }

  get relayed(): readonly TransportAddress[] {
    return this.#relayed;
  }

  /** To the server in use, as datagrams have it: another than the one given after a redirection. */
  get wirePath(): FiveTuple {
    return this.#dtls === undefined ? this.#client.path : this.#recordPath;
  }

  start(now: Instant): void {
    if (this.#dtls === undefined) this.#client.allocate(now);
    else this.#dtls.start(now);
  }

  /**
   * A datagram, or a message of a stream, from the server.
   * @returns false for a Binding response, which is ICE's: the same server may have been asked for our mapped address.
   */
  handleInput(bytes: Uint8Array, now: Instant): boolean {
    const type = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
    const dtls = this.#dtls;
    const record = type >= 0x1400 && type < 0x4000; // RFC 7983 §7
    if (!record && type < 0x4000 && (type & METHOD_MASK) === BINDING) return false;
    if (dtls === undefined) {
      this.#client.handleInput(bytes, this.#client.path, now);
    } else if (record) {
      dtls.handleInput(bytes, undefined, now);
    } else {
      return false; // only records come from a server that DTLS is spoken with
    }
    this.#collect(now);
    return true;
  }

  handleTimeout(now: Instant): void {
    this.#dtls?.handleTimeout(now);
    this.#client.handleTimeout(now);
    this.#collect(now);
  }

  nextTimeout(): Instant {
    if (this.#state === 'over') return NEVER;
    return Math.min(this.#client.nextTimeout(), this.#dtls?.nextTimeout() ?? NEVER);
  }

  /** Requests, and data that waited for a permission. */
  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    const dtls = this.#dtls;
    if (dtls === undefined) return this.#client.pollTransmit(slot);
    if (dtls.state === 'connected') {
      const { offset } = slot;
      slot.offset += dtls.recordHeadroom;
      while (this.#client.pollTransmit(slot)) {
        if (this.#seal(slot)) return true;
        slot.offset = offset + dtls.recordHeadroom;
      }
      slot.offset = offset;
      if (this.#state === 'closing') dtls.close(now);
    }
    if (dtls.state === 'new') return false;
    const record: TransmitSlot<void> = { buffer: slot.buffer, offset: slot.offset, length: 0, path: undefined };
    if (!dtls.pollTransmit(record, now)) return false;
    slot.offset = record.offset;
    slot.length = record.length;
    slot.path = this.#recordPath;
    return true;
  }

  pollEvent(): RelayEvent | undefined {
    return this.#events.shift();
  }

  /**
   * Turns the datagram in `slot` into one for the server.
   * @returns false when there is nothing to transmit now: it waits for its permission, or was dropped.
   */
  wrap(slot: TransmitSlot<FiveTuple>, peer: TransportAddress, now: Instant): boolean {
    if (this.#state !== 'allocated') return false; // it is gone: ICE will notice
    if (this.#client.wrapInPlace(slot, peer)) return this.#dtls === undefined || this.#seal(slot);
    const bytes = slot.buffer.subarray(slot.offset, slot.offset + slot.length);
    this.#try(peer, () => this.#client.send(peer, bytes, now));
    return false;
  }

  /** Lets the peer in before anything is sent to it (RFC 8656 §9). */
  permit(peer: TransportAddress, now: Instant): void {
    if (this.#state === 'allocated') this.#try(peer, () => this.#client.createPermission(peer, now));
  }

  /** Data for this peer is worth a channel (RFC 8656 §12). */
  bindChannel(peer: TransportAddress, now: Instant): void {
    if (this.#state === 'allocated') this.#try(peer, () => this.#client.bindChannel(peer, now));
  }

  /** The connection to the server is gone, and with it the allocation (RFC 8656 §7.2: it lives on the 5-tuple). */
  disconnected(reason: string): void {
    this.#fail({ failure: 'disconnected', code: UNREACHABLE, reason, alternateServer: undefined, retryAfterMs: 0 });
  }

  /** Gives the allocation back; the request leaves with `pollTransmit`, nobody waits for the answer. */
  close(now: Instant): void {
    if (this.#state === 'over') return;
    this.#state = 'closing';
    this.#client.close(now);
  }

  /** What the peer's candidates and checks ask for; at a bound of the allocation it is not done. */
  #try(peer: TransportAddress, command: () => void): void {
    const family = ipFamily(peer.ip);
    if (this.#refused.has(peer.ip) || !this.#relayed.some(({ ip }) => ipFamily(ip) === family)) return;
    try {
      command();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error; // `MAX_CLIENT_PEERS`: many generations of candidates
      this.#drop('limit', error.message);
    }
  }

  /** @returns false when the way to the server has just ended, or a record does not hold it: it is lost, as on any path. */
  #seal(slot: TransmitSlot<FiveTuple>): boolean {
    const limit = this.#dtls?.state === 'connected' ? this.#dtls.negotiated?.maxSendRecordBytes : undefined;
    if (limit === undefined || slot.length > limit) {
      this.#drop(limit === undefined ? 'closed' : 'bad-length', 'record for the server');
      return false;
    }
    this.#dtls?.sealInPlace(slot);
    slot.path = this.#recordPath;
    return true;
  }

  #drop(reason: DropReason, detail: string): void {
    this.#drops.count(reason);
    this.#env.trace.drop('relay', reason, detail);
  }

  #collect(now: Instant): void {
    const dtls = this.#dtls;
    for (let event = dtls?.pollEvent(); event !== undefined; event = dtls?.pollEvent()) this.#onDtls(event, now);
    for (let event = this.#client.pollEvent(); event !== undefined; event = this.#client.pollEvent()) {
      this.#onTurn(event);
    }
  }

  #onDtls(event: DtlsEvent, now: Instant): void {
    if (event.type === 'connected') this.#client.allocate(now);
    else if (event.type === 'data') this.#client.handleInput(event.bytes, this.#client.path, now);
    else if (event.type === 'closed') this.disconnected('the DTLS association was closed');
    else if (event.type === 'failed') this.disconnected(event.error.message);
  }

  #onTurn(event: TurnClientEvent): void {
    switch (event.type) {
      case 'allocated':
        this.#state = 'allocated';
        this.#relayed = event.relayed;
        this.#events.push({ type: 'allocated', relayed: event.relayed, mapped: event.mapped });
        break;
      case 'data':
        // The bytes are borrowed until the client's next call, and the event is taken before that.
        this.#events.push({ type: 'data', bytes: event.bytes, path: this.#pathTo(event.peer) });
        break;
      case 'permission-failed':
        this.#notePermissionFailed(event.ip, event.error?.code);
        break;
      case 'failed': {
        const { error, reason: failure, alternateServer, alternateDomain, retryAfterMs } = event;
        const code = error?.code ?? UNREACHABLE;
        const reason = error === undefined ? describe(failure) : withoutPadding(error.reason);
        this.#fail({ failure, code, reason, alternateServer, alternateDomain, retryAfterMs });
        break;
      }
      case 'closed':
        this.#release();
        break;
      default:
        break; // permissions and channels keep themselves alive
    }
  }

  /** 403 and 443 stay (RFC 8656 §10.2): ICE need not ask again with each check. 508 may be better next time. */
  #notePermissionFailed(ip: string, code: number | undefined): void {
    if ((code === 403 || code === 443) && this.#refused.size < MAX_RELAY_PATHS) this.#refused.add(ip);
  }

  #fail(why: Omit<Extract<RelayEvent, { readonly type: 'failed' }>, 'type' | 'relayed'>): void {
    if (this.#state === 'closing') {
      this.#release(); // the server cannot be told; the allocation expires
      return;
    }
    const relayed = this.#relayed;
    const told = this.#state === 'over';
    this.#state = 'over';
    this.#relayed = [];
    if (!told) this.#events.push({ type: 'failed', ...why, relayed });
  }

  #release(): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#relayed = [];
    this.#events.push({ type: 'released' });
  }

  #pathTo(peer: TransportAddress): FiveTuple {
    let path = this.#pathOfPeer.get(peer);
    if (path !== undefined) return path;
    const key = formatAddress(peer);
    path = this.#paths.get(key);
    if (path === undefined) {
      const family = ipFamily(peer.ip);
      const local = this.#relayed.find(({ ip }) => ipFamily(ip) === family) ?? this.server.path.local;
      path = { protocol: 'udp', local, remote: peer };
      if (this.#paths.size >= MAX_RELAY_PATHS) this.#paths.clear();
      this.#paths.set(key, path);
    }
    this.#pathOfPeer.set(peer, path);
    return path;
  }
}

/** coturn counts the padding of the reason phrase to it: zeros, which an application would show. */
function withoutPadding(reason: string): string {
  let end = reason.length;
  while (end > 0 && reason.charCodeAt(end - 1) === 0) end--;
  return reason.slice(0, end);
}

function describe(failure: TurnFailure): string {
  return failure === 'timeout' ? 'no answer' : failure;
}
