import type { Env, FiveTuple, TransportAddress } from '../core/index.ts';
import type { AccessToken, AddressError, IcmpError, StunError } from '../stun/index.ts';

export interface TurnClientOptions {
  readonly env: Env;
  /** From our socket, by its real address, to the server. */
  readonly path: FiveTuple;
  /** A long-term credential; or else `accessToken`. */
  readonly username?: string;
  readonly password?: string;
  /** An OAuth token for servers that ask for third-party authorization (RFC 7635); instead of name and password. */
  readonly accessToken?: AccessToken;
  /** `tcp` asks for a TCP relay (RFC 6062), over a TCP or TLS path only. Default `udp`. */
  readonly relayTransport?: 'udp' | 'tcp';
  /** Asks for a ticket with which the allocation can move to another local address (RFC 8016). */
  readonly mobility?: boolean;
  /** Family of the relayed address; by default none is asked for, which means IPv4 (RFC 8656 §7.2). */
  readonly requestedFamily?: 4 | 6;
  /** Asks for an IPv6 address beside the IPv4 one (RFC 8656 §7.1). Not together with `requestedFamily`. */
  readonly additionalFamily?: boolean;
  /** Seconds; servers give at least 600. */
  readonly lifetimeS?: number;
  /** Asks for an even port, and with `reserve-next` for the next one to be held (RFC 8656 §7.1). */
  readonly evenPort?: 'even' | 'reserve-next';
  /** 8 bytes from another allocation's `allocated` event. */
  readonly reservationToken?: Uint8Array;
  /** Sets the DF bit on datagrams to peers where the server can; a server that cannot is asked again without. */
  readonly dontFragment?: boolean;
  /** ORIGIN in all requests: the web page's, for servers that choose the realm by it (coturn). Left out by default. */
  readonly origin?: string;
  /** SOFTWARE in Allocate and Refresh requests; left out by default. */
  readonly software?: string;
  /**
   * Follow a 300 response that carries no integrity, as coturn sends it to the first request. Off by default: RFC 8489
   * §14.8 forbids it, because anybody on the path could redirect us.
   */
  readonly followUnsignedRedirects?: boolean;
}

export type TurnClientState = 'new' | 'allocating' | 'allocated' | 'closing' | 'closed' | 'failed';

/** Why an allocation could not be made, or is gone. */
export type TurnFailure =
  | 'timeout' // no answer: try another transport (RFC 8656 §7.4)
  | 'rejected' // an error response, in `error`
  | 'wrong-credentials' // 401 again after the challenge, or 441
  | 'bid-down' // the challenge was tampered with (RFC 8489 §9.2.5)
  | 'address-in-use' // 437 to Allocate: try again from another local port
  | 'redirected' // 300: `alternateServer` says where to; over UDP it is followed by itself
  | 'out-of-sync' // 400 to the refresh of a channel (RFC 8656 §12.3): given back, make a new one
  | 'bad-response' // a response that makes no sense
  | 'lost'; // 437 later: the server no longer knows the allocation

export type TurnClientEvent =
  | {
      readonly type: 'allocated';
      /** One address, or two for a dual allocation, IPv4 first. */
      readonly relayed: readonly TransportAddress[];
      /** Our address as the server sees it: a server-reflexive candidate for free. */
      readonly mapped: TransportAddress;
      readonly lifetimeS: number;
      /** Owned by the receiver. */
      readonly reservationToken: Uint8Array | undefined;
      /** Why a dual allocation got one address only. */
      readonly addressError: AddressError | undefined;
    }
  /** From a peer. `bytes` is borrowed until the next call. `peer` is the same object for each datagram of a bound peer. */
  | { readonly type: 'data'; readonly peer: TransportAddress; readonly bytes: Uint8Array }
  /** An ICMP error that a datagram to the peer met (RFC 8656 §11.6). */
  | { readonly type: 'icmp'; readonly peer: TransportAddress; readonly icmp: IcmpError }
  | { readonly type: 'permission'; readonly ip: string }
  | { readonly type: 'permission-failed'; readonly ip: string; readonly error: StunError | undefined }
  | { readonly type: 'channel'; readonly peer: TransportAddress; readonly channel: number }
  /** Data goes on in Send indications. */
  | { readonly type: 'channel-failed'; readonly peer: TransportAddress; readonly error: StunError | undefined }
  | {
      readonly type: 'failed';
      readonly reason: TurnFailure;
      readonly error: StunError | undefined;
      readonly alternateServer: TransportAddress | undefined;
      /** The name that its certificate must have, where it is another one (RFC 8489 §14.16). */
      readonly alternateDomain?: string | undefined;
      /** How long to leave this server alone (RFC 8656 §7.4), 0 where the RFC says nothing. */
      readonly retryAfterMs: number;
    }
  /**
   * A TCP connection to the peer stands at the server (RFC 6062 §4.3, §4.4): open another connection to the server and
   * run a `TurnDataConnection` with the ID on it, within 30 s. `incoming` when the peer opened it.
   */
  | {
      readonly type: 'connection';
      readonly peer: TransportAddress;
      readonly connectionId: number;
      readonly incoming: boolean;
    }
  /** 447: wait 10 s before trying the same peer again (RFC 6062 §4.3). */
  | { readonly type: 'connect-failed'; readonly peer: TransportAddress; readonly error: StunError | undefined }
  /** The allocation now belongs to that path (RFC 8016 §3.2.3). */
  | { readonly type: 'moved'; readonly path: FiveTuple }
  /** It stays where it was. */
  | { readonly type: 'move-failed'; readonly error: StunError | undefined }
  /** After `close`: the server confirmed, or did not answer. */
  | { readonly type: 'closed' };
