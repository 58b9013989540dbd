import type { Env, FiveTuple, TransportAddress } from '../../core/index.ts';
import type { BehaviourDiscoveryAddresses, LongTermAlgorithm, StoredUser } from '../../stun/index.ts';
import { MAX_CHANNEL, MAX_LEGACY_CHANNEL } from '../channel-data.ts';
import type { PeerPolicyOptions } from './address-policy.ts';
import type { FleetOptions } from './fleet.ts';
import type { OauthOptions } from './oauth.ts';

/** An address on which relayed ports are opened. */
export interface RelayAddress {
  /** Of this machine, canonical text. */
  readonly ip: string;
  /** What clients and peers are told instead, where a one-to-one NAT stands in front; the ports are the same. */
  readonly externalIp?: string;
  /** MTU of the interface that it belongs to: what is larger cannot be sent unfragmented. Default: unknown. */
  readonly mtuBytes?: number;
}

/** How much per second on average, and how much at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

export interface TurnServerCoreOptions {
  readonly env: Env;
  /** RFC 8489 §9.2.4 recommends the provider's domain name. */
  readonly realm: string;
  /**
   * Realms of other web origins (coturn's meaning): a client whose ORIGIN is a key here is asked for credentials of that realm,
   * every other one for those of `realm`. Origins are written as browsers do, such as `https://example.org`.
   */
  readonly realmsByOrigin?: Readonly<Record<string, string>>;
  /** Coturn's option: what comes with another ORIGIN than the Allocate request had is refused with 441. Default false. */
  readonly checkOriginConsistency?: boolean;
  /** Long-term users; synchronous, undefined for an unknown one. The name is prepared with OpaqueString. */
  readonly findUser?: (username: string, realm: string) => StoredUser | undefined;
  /** Finds a user by USERHASH. Given, and without `authSecrets`, the server announces username anonymity. */
  readonly findUserByHash?: (hash: Uint8Array, realm: string) => StoredUser | undefined;
  /** Secrets of ephemeral REST credentials, coturn's `static-auth-secret`. Several, so that one can be replaced. */
  readonly authSecrets?: readonly string[];
  /** Tokens of an authorization server (RFC 7635), beside the users above. Default: none are asked for. */
  readonly oauth?: OauthOptions;
  /** Default 600,000. */
  readonly nonceLifetimeMs?: number;
  /** 32 bytes, the same in all workers of one server. Default: random. */
  readonly nonceSecret?: Uint8Array;
  /** In order of preference; default SHA-256, then MD5. */
  readonly passwordAlgorithms?: readonly LongTermAlgorithm[];
  /** At least one; a family that none has is refused with 440. */
  readonly relayAddresses: readonly RelayAddress[];
  /** More addresses of this machine, which clients must not reach: those that it listens on. */
  readonly ownAddresses?: readonly string[];
  /** Relayed ports, inclusive. Default 49,152 to 65,535. */
  readonly minPort?: number;
  readonly maxPort?: number;
  /** Lifetime without a wish, and the least that is given. Default 600. */
  readonly defaultLifetimeS?: number;
  /** The most that is given. Default 3600. */
  readonly maxLifetimeS?: number;
  /** Allocations and reservations of one user, 486 beyond. Default: no bound of its own. */
  readonly userQuota?: number;
  /** Allocations in all, 486 beyond. Default {@link DEFAULT_MAX_ALLOCATIONS}. */
  readonly totalQuota?: number;
  /** Data of one allocation, bytes, each direction by itself; what exceeds it is dropped, or on TCP connections waits. Default: unlimited. */
  readonly sessionRate?: Rate;
  /** Data of all allocations together, bytes, each direction by itself. Default: unlimited. */
  readonly totalRate?: Rate;
  /** Requests that prove nothing, per source address. Default {@link DEFAULT_UNAUTHENTICATED_RATE}. */
  readonly unauthenticatedRate?: Rate;
  /** Which peers may be reached. Default: global addresses only. */
  readonly peers?: Omit<PeerPolicyOptions, 'ownAddresses'>;
  /**
   * The shell sets the DF bit, at least where a datagram fits into the interface's MTU; a Send indication that asks for it
   * with more than that is dropped. Default false: DONT-FRAGMENT is an unknown attribute (RFC 8656 §7.2).
   */
  readonly dontFragment?: boolean;
  /** The shell can open TCP relays (RFC 6062). Default false: 442. */
  readonly tcpRelay?: boolean;
  /** Lets allocations move to another client address (RFC 8016). Default false: 405. */
  readonly mobility?: boolean;
  /** Sends new clients elsewhere with 300 (RFC 8656 §7.2) while draining. */
  readonly alternateServer?: TransportAddress;
  /** FINGERPRINT in all responses. Default: where the request has one. */
  readonly fingerprint?: boolean;
  /** SOFTWARE in authenticated Allocate and Refresh responses. Default: none. */
  readonly software?: string;
  /**
   * Take channel numbers of RFC 8656 §12 only, up to 0x4FFF. Default false: also those of RFC 5766 §11, up to 0x7FFF, which
   * clients in the field still bind.
   */
  readonly strictChannels?: boolean;
  /** The shell wants `watch-peer` events, and calls `handleIcmp`. Default false. */
  readonly reportsIcmp?: boolean;
  /** No Binding requests are answered. */
  readonly noStun?: boolean;
  /** Nothing but Binding requests is answered; then no users are needed. */
  readonly stunOnly?: boolean;
  /** As of `StunServer`. */
  readonly noStunBackwardCompatibility?: boolean;
  /** Answers behaviour discovery (RFC 5780); the shell must own all four sockets. */
  readonly behaviourDiscovery?: BehaviourDiscoveryAddresses;
  /** Is one of several servers behind the same addresses. Default: alone. */
  readonly fleet?: FleetOptions;
}

/** The highest channel number that a client may bind. */
export function maxChannelOf(options: TurnServerCoreOptions): number {
  return options.strictChannels === true ? MAX_CHANNEL : MAX_LEGACY_CHANNEL;
}

/** Names a relay socket between core and shell. */
export type RelayId = number;

/** Names a TCP connection to a peer between core, shell and client (RFC 6062 §6.2.1). */
export type ConnectionId = number;

/** Why an allocation ended. */
export type ReleaseReason =
  | 'expired'
  | 'deleted' // by the client, with a lifetime of zero
  | 'disconnected' // its TCP, TLS or DTLS connection has ended
  | 'relay-failed' // its sockets are gone
  | 'closed'; // by the server

/** What an allocation relayed: datagrams, and bytes of data, with those on TCP connections. */
export interface TrafficCounters {
  toPeerPackets: number;
  toPeerBytes: number;
  toClientPackets: number;
  toClientBytes: number;
}

export function newTraffic(): TrafficCounters {
  return { toPeerPackets: 0, toPeerBytes: 0, toClientPackets: 0, toClientBytes: 0 };
}

export type TurnServerEvent =
  /**
   * Bind a UDP socket to `local`, or with `tcp` listen there and hand connections to `peerAccepted`, and call `relayOpened` or `relayFailed`. Its datagrams come in through `handleInput`, on
   * paths whose `local` is the address given to `relayOpened`.
   */
  | {
      readonly type: 'open-relay';
      readonly relay: RelayId;
      readonly local: TransportAddress;
      readonly transport: 'udp' | 'tcp';
    }
  /** Close that socket; it was opened. */
  | { readonly type: 'close-relay'; readonly relay: RelayId; readonly local: TransportAddress }
  /** With `reportsIcmp`: a channel is bound. ICMP errors of that peer are worth learning of, until the relay is closed. */
  | { readonly type: 'watch-peer'; readonly local: TransportAddress; readonly peer: TransportAddress }
  /** Connect to the peer over TCP, from `local`, and call `peerConnected` or `peerClosed`; read nothing before it is bound. */
  | {
      readonly type: 'connect-peer';
      readonly connection: ConnectionId;
      readonly local: TransportAddress;
      readonly peer: TransportAddress;
    }
  /**
   * Join the peer's connection with the client's at `path`: bytes pass as they are, told to `connectionPassed`, and one ends
   * with the other.
   */
  | { readonly type: 'bind-connection'; readonly connection: ConnectionId; readonly path: FiveTuple }
  /** Close the peer's connection, and the client's that it is joined with. */
  | { readonly type: 'close-connection'; readonly connection: ConnectionId }
  | {
      readonly type: 'allocated';
      readonly username: string;
      readonly realm: string;
      /** Of the web page, as far as the client is believed; canonical. */
      readonly origin: string | undefined;
      readonly path: FiveTuple;
      /** As the client is told. */
      readonly relayed: readonly TransportAddress[];
      readonly lifetimeS: number;
    }
  | {
      readonly type: 'released';
      readonly username: string;
      readonly path: FiveTuple;
      readonly relayed: readonly TransportAddress[];
      readonly reason: ReleaseReason;
      readonly durationMs: number;
      readonly traffic: Readonly<TrafficCounters>;
    }
  /** In a fleet: another member is to serve what that client asks for. `bytes` is the request, a copy. */
  | {
      readonly type: 'hand-over';
      readonly path: FiveTuple;
      readonly bytes: Uint8Array;
      /** Who has what its token or ticket names; undefined when any member will do. */
      readonly member: number | undefined;
      /** Whom to count a new allocation on; undefined for a move, which makes none. */
      readonly quotaKey: string | undefined;
    }
  /** In a fleet: may that user have one more allocation? Call `admitted`. */
  | {
      readonly type: 'ask-admission';
      readonly admission: number;
      readonly quotaKey: string;
      readonly path: FiveTuple;
    }
  /** The client goes on from another address (RFC 8016). */
  | { readonly type: 'moved'; readonly username: string; readonly from: FiveTuple; readonly path: FiveTuple }
  /** Draining, and the last allocation is gone. */
  | { readonly type: 'drained' };

/** What a server has done and is doing. */
export interface TurnServerStats {
  readonly allocations: number;
  readonly allocationsByTransport: Readonly<Record<FiveTuple['protocol'], number>>;
  readonly relays: number;
  readonly reservations: number;
  /** TCP connections to peers. */
  readonly peerConnections: number;
  readonly allocationsTotal: number;
  readonly requestsTotal: Readonly<Record<string, number>>;
  /** Error responses by code. */
  readonly errorsTotal: Readonly<Record<number, number>>;
  readonly bindingRequestsTotal: number;
  readonly traffic: Readonly<TrafficCounters>;
  readonly draining: boolean;
}
