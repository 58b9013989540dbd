import {
  canonicalIp,
  DropCounters,
  type Env,
  type FiveTuple,
  formatAddress,
  formatFiveTuple,
  type Instant,
  ipFamily,
  NEVER,
  sameAddress,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import type { IceAgent, IceCandidate } from '../ice/index.ts';
import { Relay, type RelayEvent, type TurnServer } from './relay.ts';
import type { PeerTransportEvent } from './transport-types.ts';

/** Relays of one transport; more are refused. Half of the local candidates that ICE takes. */
export const MAX_RELAYS = 32;

/** IP addresses of the peer that later relays let in from the beginning; of more only when ICE sends to them. */
export const MAX_REMEMBERED_PEERS = 64;

/** RFC 8839 §5.1: what stands for a related address that is kept private. */
const PRIVATE_PORT = 9;

/** What relays need of their transport. */
export interface RelaysHost {
  readonly env: Env;
  readonly ice: IceAgent;
  /** What a peer sent through a relay. `bytes` is borrowed until it returns. */
  onData(bytes: Uint8Array, path: FiveTuple, now: Instant): void;
  onEvent(event: PeerTransportEvent): void;
}

/**
 * The TURN allocations of one transport (RFC 8656), between ICE and the sockets: a datagram whose path begins at a relayed
 * address is wrapped for its server, and what comes from a server is unwrapped. TURN itself is `TurnClient`.
 */
export class Relays {
  /**
   * Of all its relays: what could not be sent to a server, such as a datagram longer than its records may be (`bad-length`), and
   * peers beyond what an allocation keeps (`limit`).
   */
  readonly drops: DropCounters = new DropCounters();
  readonly #host: RelaysHost;
  #ending = false;
  #relays: Relay[] = [];
  /** Relays that are not wanted any more, with the relayed addresses that a generation of ICE still uses. */
  readonly #withdrawn = new Map<Relay, TransportAddress[]>();
  readonly #peers = new Set<string>();
  /** By identity of the path, for the packet path; null is "goes out directly". */
  #relayOf = new WeakMap<FiveTuple, Relay | null>();
  /** The same for what arrives: null is "not from a TURN server". */
  #relayFrom = new WeakMap<FiveTuple, Relay | null>();

  constructor(host: RelaysHost) {
    this.#host = host;
  }

  /**
   * Relayed candidates only: our own addresses are nobody's business then (RFC 8828 §5.2, mode 4), and neither these nor
   * errors name them.
   */
  get hideAddresses(): boolean {
    return this.#host.ice.policy === 'relay';
  }

  /**
   * Asks a TURN server for an allocation. Ends in a `relay-allocated` event and relayed candidates, or in `relay-failed`.
   * @returns false at the bound.
   * @throws {UsageError} for credentials that cannot be prepared.
   */
  add(server: TurnServer, now: Instant): boolean {
    if (this.#relays.length >= MAX_RELAYS) return false;
    const relay = new Relay(this.#host.env, server, this.drops);
    this.#relays.push(relay);
    this.#forgetPaths();
    relay.start(now);
    return true;
  }

  /**
   * From the next generation on nothing is offered of the relay to the server at the other end of `path`. It is given back
   * when no generation uses it any more, or as soon as it is there: `relay-released`. Does nothing where there is none.
   */
  withdraw(path: FiveTuple, now: Instant): void {
    const relay = this.#relays.find(({ server }) => server.path === path);
    if (relay === undefined || this.#withdrawn.has(relay)) return;
    this.#withdrawn.set(relay, [...relay.relayed]);
    for (const relayed of relay.relayed) this.#host.ice.withdrawBase(relayed, now);
    this.#endWhenSettled(now);
  }

  /** No generation uses this address any more. */
  onUnusedBase(base: TransportAddress, now: Instant): void {
    for (const [relay, used] of this.#withdrawn) {
      if (!used.some((relayed) => sameAddress(relayed, base))) continue;
      const rest = used.filter((relayed) => !sameAddress(relayed, base));
      this.#withdrawn.set(relay, rest);
      if (rest.length === 0) relay.close(now);
    }
  }

  /** A candidate of the peer: every relay lets its address in, so that its checks come through before ours go out. */
  addRemoteCandidate(candidate: IceCandidate, now: Instant): void {
    const ip = candidate.protocol === 'udp' ? canonicalIp(candidate.address) : undefined;
    if (ip === undefined || this.#peers.has(ip)) return;
    if (this.#peers.size < MAX_REMEMBERED_PEERS) this.#peers.add(ip);
    for (const relay of this.#relays) relay.permit({ ip, port: candidate.port }, now);
  }

  /** @returns whether the datagram belonged to an allocation. */
  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): boolean {
    if (this.#relays.length === 0) return false;
    let relay = this.#relayFrom.get(path);
    if (relay === undefined) {
      const key = formatFiveTuple(path);
      relay = this.#relays.find(({ wirePath }) => formatFiveTuple(wirePath) === key) ?? null;
      this.#relayFrom.set(path, relay);
    }
    if (relay === null) return false;
    const before = relay.wirePath;
    const taken = relay.handleInput(bytes, now);
    if (relay.wirePath !== before) this.#forgetPaths(); // redirected to another server
    return taken;
  }

  /** A TCP or TLS connection has ended. */
  pathClosed(path: FiveTuple, reason: string): void {
    const key = formatFiveTuple(path);
    for (const relay of this.#relays) if (formatFiveTuple(relay.wirePath) === key) relay.disconnected(reason);
  }

  handleTimeout(now: Instant): void {
    for (const relay of this.#relays) relay.handleTimeout(now);
  }

  nextTimeout(): Instant {
    let next = NEVER;
    for (const relay of this.#relays) next = Math.min(next, relay.nextTimeout());
    return next;
  }

  /** Requests, and data that waited for a permission. */
  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    for (const relay of this.#relays) if (relay.pollTransmit(slot, now)) return true;
    return false;
  }

  /** Carries what the relays report to ICE and upwards. @returns whether there was anything. */
  pump(now: Instant): boolean {
    let any = false;
    for (const relay of this.#relays) {
      for (let event = relay.pollEvent(); event !== undefined; event = relay.pollEvent()) {
        any = true;
        this.#onEvent(relay, event, now);
      }
    }
    return any;
  }

  /** No more bases and servers will be added: ICE's gathering may end when those that there are have answered. */
  endOfLocalCandidates(now: Instant): void {
    this.#ending = true;
    this.#endWhenSettled(now);
  }

  #endWhenSettled(now: Instant): void {
    if (!this.#ending || this.#relays.some((relay) => relay.isPending && !this.#withdrawn.has(relay))) return;
    this.#ending = false;
    this.#host.ice.endOfLocalCandidates(now);
  }

  #onEvent(relay: Relay, event: RelayEvent, now: Instant): void {
    const { ice, onData, onEvent } = this.#host;
    const { server } = relay;
    switch (event.type) {
      case 'data':
        onData(event.bytes, event.path, now);
        break;
      case 'allocated':
        this.#forgetPaths();
        if (this.#withdrawn.has(relay)) {
          relay.close(now); // it has come too late
          break;
        }
        for (const ip of this.#peers) relay.permit({ ip, port: 0 }, now);
        for (const relayed of event.relayed) {
          const { url, path } = server;
          const related = this.hideAddresses ? hidden(event.mapped) : event.mapped;
          ice.addRelayedCandidate(relayed, related, { relayProtocol: path.protocol, url }, now);
        }
        onEvent({ type: 'relay-allocated', server, relayed: event.relayed });
        this.#endWhenSettled(now);
        break;
      case 'failed':
        this.#remove(relay);
        for (const relayed of event.relayed) ice.removeLocalBase(relayed, now);
        onEvent({ ...event, type: 'relay-failed', server });
        this.#endWhenSettled(now);
        break;
      case 'released':
        this.#remove(relay);
        onEvent({ type: 'relay-released', server });
        break;
    }
  }

  #remove(relay: Relay): void {
    this.#relays = this.#relays.filter((other) => other !== relay);
    this.#withdrawn.delete(relay);
    this.#forgetPaths();
  }

  /**
   * Sends the datagram in `slot` through its relay, if its path begins at a relayed address.
   * @returns false when there is nothing to transmit now: the datagram waits for its permission.
   */
  route(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    const { path } = slot;
    if (path === undefined || this.#relays.length === 0) return true;
    const relay = this.#relayFor(path);
    return relay === null || relay.wrap(slot, path.remote, now);
  }

  /** Whether what is sent on this path goes through a relay of ours. */
  carries(path: FiveTuple): boolean {
    return this.#relays.length > 0 && this.#relayFor(path) !== null;
  }

  /** The selected pair: its data is worth a channel (RFC 8656 §12). */
  select(path: FiveTuple, now: Instant): void {
    this.#relayFor(path)?.bindChannel(path.remote, now);
  }

  /** Gives the allocations back; the requests leave with `pollTransmit`, nobody waits for the answers. */
  close(now: Instant): void {
    for (const relay of this.#relays) relay.close(now);
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
}

function hidden({ ip }: TransportAddress): TransportAddress {
  return { ip: ipFamily(ip) === 4 ? '0.0.0.0' : '::', port: PRIVATE_PORT };
}
