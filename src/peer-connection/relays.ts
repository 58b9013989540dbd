import {
  type Env,
  type FiveTuple,
  formatAddress,
  formatFiveTuple,
  type Instant,
  ipFamily,
  NEVER,
  Ring,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import { TurnClient, type TurnClientEvent } from '../turn/index.ts';

/** A TURN server as a composer names it. */
export interface TurnServer {
  /** From a bound socket to the server. */
  readonly path: FiveTuple;
  readonly username: string;
  readonly password: string;
  /** As the application wrote it; candidates and errors carry it. */
  readonly url: string;
}

/** Relays of one transport; more are refused. */
export const MAX_RELAYS = 16;

/** Peers that a relay keeps a path for; as many as `TurnClient` has permissions. */
const MAX_RELAY_PATHS = 256;

/** What {@link Relays} reports. */
export type RelayEvent =
  | {
      readonly type: 'relayed';
      readonly server: TurnServer;
      readonly relayed: TransportAddress;
      readonly mapped: TransportAddress;
    }
  /** From a peer, through the relay. `bytes` is borrowed until the next call; `path.local` is the relayed address. */
  | { readonly type: 'data'; readonly bytes: Uint8Array; readonly path: FiveTuple }
  | {
      readonly type: 'failed';
      readonly server: TurnServer;
      /** STUN error code, or 701 where the server did not answer. */
      readonly code: number;
      readonly reason: string;
      /** What is gone with it. */
      readonly relayed: readonly TransportAddress[];
    };

interface Relay {
  readonly client: TurnClient;
  readonly server: TurnServer;
  pending: boolean;
  relayed: readonly TransportAddress[];
  /** One path object for each peer, as shells have one for each sender. */
  readonly paths: Map<string, FiveTuple>;
}

/** RFC 8489 §5: the method bits of a message type, and Binding. */
const METHOD_MASK = 0x3eef;
const BINDING = 0x0001;

/**
 * The TURN allocations of one transport (RFC 8656), between ICE and the sockets: a datagram whose path begins at a relayed
 * address is wrapped for its server, and what comes from a server is unwrapped. TURN itself is `TurnClient`.
 */
export class Relays {
  readonly #env: Env;
  readonly #relays: Relay[] = [];
  readonly #events = new Ring<RelayEvent>();
  /** By identity of the path, for the packet path; null is "goes out directly". */
  #relayOf = new WeakMap<FiveTuple, Relay | null>();
  /** The same for what arrives: null is "not from a TURN server". */
  #relayFrom = new WeakMap<FiveTuple, Relay | null>();

  constructor(env: Env) {
    this.#env = env;
  }

  /** Allocations that may still bring a candidate. */
  get pending(): number {
    return this.#relays.reduce((count, relay) => count + (relay.pending ? 1 : 0), 0);
  }

  /** Asks for an allocation. @returns false at the bound. */
  add(server: TurnServer, now: Instant): boolean {
    if (this.#relays.length >= MAX_RELAYS) return false;
    const { path, username, password } = server;
    const client = new TurnClient({ env: this.#env, path, username, password });
    this.#relays.push({ client, server, pending: true, relayed: [], paths: new Map() });
    this.#forgetPaths();
    client.allocate(now);
    return true;
  }

  /**
   * Takes what belongs to an allocation. Binding responses from the same server are ICE's: it may have been asked for our
   * mapped address over the same path.
   */
  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): boolean {
    let relay = this.#relayFrom.get(path);
    if (relay === undefined) {
      const key = formatFiveTuple(path);
      relay = this.#relays.find(({ client }) => formatFiveTuple(client.path) === key) ?? null;
      this.#relayFrom.set(path, relay);
    }
    if (relay === null) return false;
    const type = ((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0);
    if (type < 0x4000 && (type & METHOD_MASK) === BINDING) return false;
    relay.client.handleInput(bytes, path, now);
    this.#collect(relay);
    return true;
  }

  handleTimeout(now: Instant): void {
    for (const relay of this.#relays) {
      relay.client.handleTimeout(now);
      this.#collect(relay);
    }
  }

  nextTimeout(): Instant {
    return this.#relays.reduce((next, { client }) => Math.min(next, client.nextTimeout()), NEVER);
  }

  /** Requests, and data that waited for a permission. */
  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    return this.#relays.some(({ client }) => client.pollTransmit(slot));
  }

  pollEvent(): RelayEvent | undefined {
    return this.#events.shift();
  }

  /**
   * Sends the datagram in `slot` through its relay, if its path begins at a relayed address.
   * @returns false when there is nothing to transmit now: the datagram waits for its permission.
   */
  route(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    const path = slot.path;
    if (path === undefined) return true;
    const relay = this.#relayFor(path);
    if (relay === null) return true;
    if (relay.client.state !== 'allocated') return false; // it is gone: ICE will notice
    if (relay.client.wrapInPlace(slot, path.remote)) {
      slot.path = relay.client.path;
      return true;
    }
    relay.client.send(path.remote, slot.buffer.subarray(slot.offset, slot.offset + slot.length), now);
    return false;
  }

  /** The selected pair: its data is worth a channel (RFC 8656 §12). */
  select(path: FiveTuple, now: Instant): void {
    const relay = this.#relayFor(path);
    if (relay?.client.state === 'allocated') relay.client.bindChannel(path.remote, now);
  }

  #relayFor(path: FiveTuple): Relay | null {
    let relay = this.#relayOf.get(path);
    if (relay === undefined) {
      const key = formatAddress(path.local);
      relay = this.#relays.find(({ relayed }) => relayed.some((address) => formatAddress(address) === key)) ?? null;
      this.#relayOf.set(path, relay);
    }
    return relay;
  }

  /** Servers or relayed addresses have changed. */
  #forgetPaths(): void {
    this.#relayOf = new WeakMap();
    this.#relayFrom = new WeakMap();
  }

  #collect(relay: Relay): void {
    for (let event = relay.client.pollEvent(); event !== undefined; event = relay.client.pollEvent()) {
      this.#onEvent(relay, event);
    }
  }

  #onEvent(relay: Relay, event: TurnClientEvent): void {
    const { server } = relay;
    switch (event.type) {
      case 'allocated':
        relay.pending = false;
        relay.relayed = event.relayed;
        this.#forgetPaths();
        for (const relayed of event.relayed) {
          this.#events.push({ type: 'relayed', server, relayed, mapped: event.mapped });
        }
        break;
      case 'data':
        // The bytes are borrowed until the client's next call, and the event is taken before that.
        this.#events.push({ type: 'data', bytes: event.bytes, path: this.#pathTo(relay, event.peer) });
        break;
      case 'failed': {
        relay.pending = false;
        const { relayed } = relay;
        relay.relayed = [];
        this.#forgetPaths();
        const code = event.error?.code ?? 701;
        this.#events.push({ type: 'failed', server, code, reason: event.error?.reason ?? event.reason, relayed });
        break;
      }
      default:
        break; // permissions and channels keep themselves alive
    }
  }

  #pathTo(relay: Relay, peer: TransportAddress): FiveTuple {
    const key = formatAddress(peer);
    let path = relay.paths.get(key);
    if (path === undefined) {
      const family = ipFamily(peer.ip);
      const local = relay.relayed.find(({ ip }) => ipFamily(ip) === family) ?? relay.server.path.local;
      path = { protocol: 'udp', local, remote: peer };
      if (relay.paths.size >= MAX_RELAY_PATHS) relay.paths.clear();
      relay.paths.set(key, path);
    }
    return path;
  }

  /** Gives the allocations back; the requests leave with `pollTransmit`, nobody waits for the answers. */
  close(now: Instant): void {
    for (const { client } of this.#relays) client.close(now);
  }
}
