import {
  canonicalIp,
  DecodeError,
  type FiveTuple,
  formatAddress,
  type Instant,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { certificatesFromPem, type ParsedCertificate, parseCertificate, verifyChain } from '../crypto/index.ts';
import type { AccessToken } from '../stun/index.ts';
import type { ParsedIceServer } from './configuration.ts';
import { type GathererOptions, SERVER_UNREACHABLE } from './gathering-types.ts';
import type { IceServerUrl } from './ice-server-url.ts';
import type { TurnServer } from './relay.ts';
import type { PeerTransportEvent } from './transport-types.ts';

/** What the transport says about relays. */
export type RelayStateEvent = Extract<PeerTransportEvent, { readonly type: 'relay-allocated' | 'relay-failed' }>;

/** Servers and ports tried for one relay: redirections (RFC 8489 §10) and 437 (RFC 8656 §7.4) ask for another. */
export const MAX_RELAY_ATTEMPTS = 4;

/** How often a relay that was lost is asked for again, without one that lasted for {@link RELAY_STABLE_MS} in between. */
export const MAX_RELAY_RENEWALS = 5;

/** Before the first time; twice as long before each further one. */
export const RELAY_RENEWAL_MS = 1000;

/** A relay that stood for so long begins to count anew. */
export const RELAY_STABLE_MS = 60_000;

/** One relay that is wanted: which server, how to reach it, and from where. */
interface Wanted {
  readonly url: IceServerUrl;
  readonly username: string;
  readonly password: string;
  readonly base: TransportAddress;
  /** Whether an IPv6 address would be of use too. */
  readonly wantsIpv6: boolean;
  /** Of the server. */
  readonly address: TransportAddress;
  /** Which of them are the same way. */
  readonly key: string;
  /** How often it was asked for again in a row; errors of that are nobody's news. */
  readonly renewals: number;
}

/** A relay that stands. */
interface Held {
  readonly wanted: Wanted;
  readonly since: Instant;
}

/**
 * Opens the ways to the TURN servers and has the transport allocate on them: one relay for each server and base, over
 * UDP and DTLS from the base's own socket (behind a mux from one that is the relay's alone), over TCP and TLS on a
 * connection of its own from the same address. A relay that is lost (the server was restarted, the connection broke) is
 * asked for again, a few times and ever more slowly; its candidates are new ones, told as such.
 */
export class RelayGatherer {
  readonly #given: GathererOptions;
  /** Ways that are in use or being tried. Two allocations cannot share a 5-tuple (RFC 8656 §7.2). */
  readonly #inUse = new Set<string>();
  readonly #waiting = new Map<FiveTuple, (event: RelayStateEvent) => void>();
  readonly #held = new Map<FiveTuple, Held>();
  /** Sockets that are a relay's alone. */
  readonly #ownSockets = new Set<TransportAddress>();
  /** What cancels the timers of relays that are to be asked for again, by key. */
  readonly #renewals = new Map<string, () => void>();
  #trusted: readonly ParsedCertificate[] | undefined;

  constructor(options: GathererOptions) {
    this.#given = options;
  }

  /**
   * Resolves when each base has got its relay, or has not. Errors are told, never thrown.
   * @param wantsIpv6 - whether relayed IPv6 addresses are of use beside IPv4 ones.
   */
  async gather(
    url: IceServerUrl,
    { username, credential }: ParsedIceServer,
    address: TransportAddress,
    bases: readonly TransportAddress[],
    wantsIpv6: boolean,
  ): Promise<void> {
    if (username === undefined || credential === undefined) return; // the configuration has been checked for it
    const attempts = bases.map((base) => {
      const key = `${url.transport} ${formatAddress(address)} ${formatAddress(base)}`;
      this.#cancelRenewal(key); // it is asked for now
      return this.#hold({ url, username, password: credential, base, wantsIpv6, address, key, renewals: 0 });
    });
    await Promise.all(attempts);
  }

  onRelayEvent(event: RelayStateEvent): void {
    const { options } = this.#given;
    const { path } = event.server;
    const waiting = this.#waiting.get(path);
    this.#waiting.delete(path);
    if (event.type === 'relay-failed') {
      this.#abandon(path);
      const held = this.#held.get(path);
      this.#held.delete(path);
      if (held !== undefined) {
        this.#inUse.delete(held.wanted.key); // an ICE restart asks that server again
        // A token that has expired can be had anew; a password would be as wrong as before.
        const hopeless = event.failure === 'wrong-credentials' && options.turn?.accessTokenFor === undefined;
        if (!hopeless) this.#renewLater(held);
      }
    }
    waiting?.(event);
  }

  /** Nothing is asked for any more. */
  close(): void {
    for (const key of [...this.#renewals.keys()]) this.#cancelRenewal(key);
  }

  /** Gets one relay, unless there is one. */
  async #hold(wanted: Wanted): Promise<void> {
    const { key } = wanted;
    if (this.#inUse.has(key)) return;
    this.#inUse.add(key);
    const path = await this.#obtain(wanted);
    if (path !== undefined) {
      this.#held.set(path, { wanted, since: this.#given.platform.now() });
      return;
    }
    this.#inUse.delete(key);
    if (wanted.renewals > 0) this.#renewLater({ wanted, since: this.#given.platform.now() });
  }

  #renewLater({ wanted, since }: Held): void {
    const { platform, transport } = this.#given;
    const now = platform.now();
    const renewals = now - since >= RELAY_STABLE_MS ? 0 : wanted.renewals;
    if (transport.isClosed || renewals >= MAX_RELAY_RENEWALS) return;
    const cancel = platform.setTimer(now + RELAY_RENEWAL_MS * 2 ** renewals, () => {
      this.#renewals.delete(wanted.key);
      if (!transport.isClosed) void this.#hold({ ...wanted, renewals: renewals + 1 });
    });
    this.#renewals.set(wanted.key, cancel);
  }

  #cancelRenewal(key: string): void {
    this.#renewals.get(key)?.();
    this.#renewals.delete(key);
  }

  /** The way is of no use any more. */
  #abandon(path: FiveTuple): void {
    const { host } = this.#given;
    host.streams.closePath(path);
    if (this.#ownSockets.delete(path.local)) host.unbind(path.local);
  }

  /** @returns the way to the server over which the allocation was made; undefined where none was. */
  async #obtain(wanted: Wanted): Promise<FiveTuple | undefined> {
    const { platform, transport } = this.#given;
    let remote = wanted.address;
    let serverName = wanted.url.host; // in its certificate (RFC 8489 §10)
    let own = usesSocket(wanted.url) && platform.bindPrivateUdp !== undefined;
    for (let attempt = 1; ; attempt++) {
      const local = own ? await this.#bindOwn(wanted) : wanted.base;
      const path = local && (await this.#open(wanted, local, remote, serverName));
      if (path === undefined || transport.isClosed) return undefined;
      const event = await this.#allocate(wanted, path, serverName);
      if (event?.type !== 'relay-failed') return event && path;
      const last = attempt === MAX_RELAY_ATTEMPTS;
      if (event.failure === 'redirected' && event.alternateServer !== undefined && !last) {
        remote = event.alternateServer;
        serverName = event.alternateDomain ?? serverName;
      } else if (event.failure === 'address-in-use' && !last) {
        // RFC 8656 §7.4: "the client SHOULD … use a different client transport address". A new connection has one.
        own = usesSocket(wanted.url);
      } else {
        this.#fail(wanted, event.code, event.reason);
        return undefined;
      }
    }
  }

  /** A socket on the base's address for one relay. */
  async #bindOwn(wanted: Wanted): Promise<TransportAddress | undefined> {
    try {
      const local = await this.#given.host.bind({ ip: wanted.base.ip, port: 0 }, true);
      if (local !== undefined) this.#ownSockets.add(local);
      return local;
    } catch (error) {
      this.#fail(wanted, SERVER_UNREACHABLE, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** The 5-tuple to the server; undefined where it cannot be reached. */
  async #open(
    wanted: Wanted,
    local: TransportAddress,
    remote: TransportAddress,
    serverName: string,
  ): Promise<FiveTuple | undefined> {
    const { host, options } = this.#given;
    const { transport: protocol } = wanted.url;
    if (protocol === 'udp' || protocol === 'dtls') return { protocol, local, remote };
    try {
      return await host.streams.connect({ protocol, remote, localIp: local.ip, serverName, ca: options.turn?.ca });
    } catch (error) {
      this.#fail(wanted, SERVER_UNREACHABLE, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** @returns how it ended; undefined where it did not begin. */
  async #allocate(wanted: Wanted, path: FiveTuple, serverName: string): Promise<RelayStateEvent | undefined> {
    const { host, transport, options } = this.#given;
    const { ca: _, accessTokenFor, ...turn } = options.turn ?? {};
    let accessToken: AccessToken | undefined;
    try {
      accessToken = accessTokenFor?.(wanted.url.url);
    } catch (error) {
      this.#fail(wanted, SERVER_UNREACHABLE, `no access token: ${String(error)}`);
      this.#abandon(path);
      return undefined;
    }
    const server: TurnServer = {
      path,
      username: wanted.username,
      password: wanted.password,
      url: wanted.url.url,
      turn: {
        ...(wanted.wantsIpv6 && { additionalFamily: true }),
        ...(accessToken !== undefined && { accessToken }),
        ...turn,
      },
      ...(path.protocol === 'dtls' && { dtls: this.#dtlsOptions(serverName) }),
    };
    try {
      const outcome = new Promise<RelayStateEvent>((resolve) => this.#waiting.set(path, resolve));
      if (host.driver.mutate((now) => transport.relays.add(server, now))) return await outcome;
      this.#fail(wanted, SERVER_UNREACHABLE, 'too many relays');
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.#fail(wanted, SERVER_UNREACHABLE, error.message); // a name or password that OpaqueString does not allow
    }
    this.#waiting.delete(path);
    this.#abandon(path);
    return undefined;
  }

  #dtlsOptions(host: string): NonNullable<TurnServer['dtls']> {
    const { env } = this.#given.platform;
    return {
      ...(canonicalIp(host) === undefined && { serverName: host }),
      verifyPeer: (chain) => {
        const trusted = this.#trustedCertificates();
        const options = { trusted, nowMs: env.wallClockMs(), purpose: 'serverAuth', hostname: host } as const;
        return verifyChain(env.crypto, chain, options)?.alert;
      },
    };
  }

  #trustedCertificates(): readonly ParsedCertificate[] {
    const { platform, options } = this.#given;
    this.#trusted ??= (options.turn?.ca ?? platform.rootCertificates?.() ?? [])
      .flatMap(certificatesFromPem)
      .flatMap(readCertificate);
    return this.#trusted;
  }

  #fail(wanted: Wanted, code: number, text: string): void {
    const { platform, transport, onError } = this.#given;
    if (transport.isClosed) return;
    if (wanted.renewals > 0) {
      // `icecandidateerror` is about gathering, which is over.
      platform.env.trace.note('relay', `not renewed: ${code} ${text}`);
      return;
    }
    // W3C: "if the local IP address is not already exposed as part of a local candidate", null
    const local = transport.relays.hideAddresses ? undefined : wanted.base;
    onError({ url: wanted.url.url, code, text, local });
  }
}

/** Whether the server is reached from the base's own UDP socket. */
function usesSocket({ transport }: IceServerUrl): boolean {
  return transport === 'udp' || transport === 'dtls';
}

/** Authorities that cannot be read (a kind of key that is unknown here) vouch for nobody. */
function readCertificate(der: Uint8Array): ParsedCertificate[] {
  try {
    return [parseCertificate(der)];
  } catch (error) {
    if (error instanceof DecodeError) return [];
    throw error;
  }
}
