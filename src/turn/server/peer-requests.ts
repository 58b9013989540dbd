import { type Instant, ipFamily, type TransportAddress } from '../../core/index.ts';
import type { StunErrorCode } from '../../stun/index.ts';
import { MIN_CHANNEL } from '../channel-data.ts';
import type { PeerPolicy } from './address-policy.ts';
import type { Allocation, Relay } from './allocation.ts';
import type { RelayTable } from './relay-table.ts';
import type { Context, Responder } from './responder.ts';
import { maxChannelOf, type TurnServerCoreOptions, type TurnServerEvent } from './types.ts';

/** What the requests about peers work on. */
export interface PeerRequestRooms {
  readonly policy: PeerPolicy;
  readonly relays: RelayTable;
  readonly emit: (event: TurnServerEvent) => void;
}

/** The requests that let peers in (RFC 8656 §10.2, §12.2), from clients that have proved who they are. */
export class PeerRequests {
  readonly #options: TurnServerCoreOptions;
  readonly #rooms: PeerRequestRooms;
  readonly #responder: Responder;
  readonly #maxChannel: number;

  constructor(options: TurnServerCoreOptions, rooms: PeerRequestRooms, responder: Responder) {
    this.#options = options;
    this.#rooms = rooms;
    this.#responder = responder;
    this.#maxChannel = maxChannelOf(options);
  }

  /** RFC 8656 §10.2. Every address is checked before one permission is installed. */
  handleCreatePermission(context: Context, allocation: Allocation): void {
    const peers = context.message.getAll('XOR-PEER-ADDRESS');
    const refusal = peers.length === 0 ? 400 : this.#checkPeers(allocation, peers, context.now);
    if (refusal !== undefined) {
      this.#responder.reject(context, refusal);
      return;
    }
    for (const { ip } of peers) allocation.relayOf(ipFamily(ip))?.permit(ip, context.now);
    this.#responder.accept(context, []);
  }

  #checkPeers(allocation: Allocation, peers: readonly TransportAddress[], now: Instant): StunErrorCode | undefined {
    const ips = new Map<Relay, Set<string>>();
    for (const { ip } of peers) {
      const relay = allocation.relayOf(ipFamily(ip));
      if (relay === undefined) return 443;
      if (this.#rooms.policy.verdict(ip) === 'denied') return 403;
      const known = ips.get(relay);
      if (known === undefined) ips.set(relay, new Set([ip]));
      else known.add(ip);
    }
    for (const [relay, set] of ips) if (!relay.hasRoomFor(set, now)) return 508;
    return undefined;
  }

  /** RFC 8656 §12.2. */
  handleChannelBind(context: Context, allocation: Allocation): void {
    const refusal = this.#bind(context, allocation);
    if (refusal === undefined) this.#responder.accept(context, []);
    else this.#responder.reject(context, refusal);
  }

  #bind(context: Context, allocation: Allocation): StunErrorCode | undefined {
    const { message, now } = context;
    if (allocation.transport === 'tcp') return 400; // RFC 6062 §4.1: such an allocation has no channels
    const number = message.get('CHANNEL-NUMBER');
    const peer = message.get('XOR-PEER-ADDRESS');
    if (number === undefined || number < MIN_CHANNEL || number > this.#maxChannel) return 400;
    if (peer === undefined || peer.port === 0) return 400;
    const refusal = this.#checkPeers(allocation, [peer], now);
    if (refusal !== undefined) return refusal;
    const relay = allocation.relayOf(ipFamily(peer.ip));
    if (relay === undefined) return 443;
    const isOwn = this.#rooms.policy.verdict(peer.ip) === 'own';
    // One of our own addresses is a peer only where another client's relay stands.
    if (isOwn && this.#rooms.relays.atExternal(peer) === undefined && !this.#isOthers(peer)) return 403;
    const failure = allocation.bindChannel(relay, number, peer, isOwn, now);
    if (failure !== undefined) return failure;
    relay.permit(peer.ip, now);
    if (this.#options.reportsIcmp === true && !isOwn)
      this.#rooms.emit({ type: 'watch-peer', local: relay.local, peer });
    return undefined;
  }

  /** Whether another member of the fleet may have a relay there; it will know. */
  #isOthers(peer: TransportAddress): boolean {
    return this.#options.fleet?.trunkTo(peer) !== undefined;
  }
}
