import {
  canonicalIp,
  DecodeError,
  type FiveTuple,
  formatAddress,
  formatFiveTuple,
  type Instant,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { certificatesFromPem, type ParsedCertificate, parseCertificate, verifyChain } from '../crypto/index.ts';
import type { AccessToken } from '../stun/index.ts';
import { isListed, type ParsedIceServer } from './configuration.ts';
import { type GathererOptions, SERVER_UNREACHABLE } from './gathering-types.ts';
import type { IceServerUrl } from './ice-server-url.ts';
import type { TurnServer } from './relay.ts';
import type { PeerTransportEvent } from './transport-types.ts';

/** What the transport says about relays. */
export type RelayStateEvent = Extract<
  PeerTransportEvent,
  { readonly type: 'relay-allocated' | 'relay-failed' | 'relay-released' }
>;

/** Servers and ports tried for one relay: redirections (RFC 8489 §10) and 437 (RFC 8656 §7.4) ask for another. */
export const MAX_RELAY_ATTEMPTS = 4;

/** How often a relay that was lost is asked for again, without one that lasted for {@link RELAY_STABLE_MS} in between. */
export const MAX_RELAY_RENEWALS = 5;

/** Before the first time; twice as long before each further one. */
const RELAY_RENEWAL_MS = 1000;

/** RFC 8656 §7.4: what such a server refuses, it "SHOULD NOT" be asked again before it has changed. */
const FINAL_CODES: ReadonlySet<number> = new Set([403, 440, 442]);

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
  /** How often it was asked for again in a row; errors of that are nobody's news. */
  readonly renewals: number;
}

/** A relay that is asked for, or stands. */
interface Holding {
  readonly wanted: Wanted;
  /** Since when it stands. */
  since: Instant;
  /** Of the attempt that is under way, or of the relay that stands. */
  path: FiveTuple | undefined;
  /** What waits for the outcome of an attempt. */
  settle: ((event: RelayStateEvent | undefined) => void) | undefined;
  /** How the last attempt failed: how long to leave the server alone, and whether it may be asked again at all. */
  retryAfterMs: number;
  isFinal: boolean;
  /** A gathering phase has begun that does not want it; an older generation may still use it. */
  withdrawn: boolean;
}

/**
 * Opens the ways to the TURN servers and has the transport allocate on them: one relay for each server and base, over
 * UDP and DTLS from the base's own socket (behind a mux from one that is the relay's alone), over TCP and TLS on a
 * connection of its own from the same address. A relay that is lost (the server was restarted, the connection broke) is
 * asked for again, a few times and ever more slowly; its candidates are new ones, told as such. One whose server has left
 * the configuration, or has got other credentials, serves the generations that know it and no later one.
 */
export class RelayGatherer {
  readonly #given: GathererOptions;
  /** Asked for, or there, and wanted by the current gathering phase; by `keyOf`. */
  readonly #holdings = new Map<string, Holding>();
  /** All that have a way to their server, also those that are withdrawn. */
  readonly #byPath = new Map<FiveTuple, Holding>();
  /** Ways that share a base's socket. Two allocations cannot have one 5-tuple (RFC 8656 §7.2). */
  readonly #sharedWays = new Set<string>();
  /** Sockets that are a relay's alone. */
  readonly #ownSockets = new Set<TransportAddress>();
  /** What cancels the timers of relays that are to be asked for again, by key. */
  readonly #renewals = new Map<string, () => void>();
  /** Of the newest configuration: what renewals ask. */
  #servers: readonly ParsedIceServer[] = [];
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
    { username, credential: password }: ParsedIceServer,
    address: TransportAddress,
    bases: readonly TransportAddress[],
    wantsIpv6: boolean,
  ): Promise<void> {
    if (username === undefined || password === undefined) return; // the configuration has been checked for it
    const attempts = bases.map((base) => {
      const wanted = { url, username, password, base, wantsIpv6, address, renewals: 0 };
      this.#cancelRenewal(keyOf(wanted)); // it is asked for now
      return this.#hold(wanted);
    });
    await Promise.all(attempts);
  }

  /** The newest configuration: a relay that is lost is asked for again only where that has its server. */
  renewFrom(servers: readonly ParsedIceServer[]): void {
    this.#servers = servers;
  }

  /**
   * A gathering phase begins (W3C "set a configuration", step 8): what other servers and other credentials have allocated is
   * left to the generations that know it, and what they have been asked for is not waited for any more.
   */
  withdrawAllBut(servers: readonly ParsedIceServer[]): void {
    const { host, transport } = this.#given;
    for (const [key, holding] of [...this.#holdings]) {
      const { url, username, password } = holding.wanted;
      if (isListed(servers, url.url, username, password)) continue;
      this.#holdings.delete(key);
      holding.withdrawn = true;
      const { path, settle } = holding;
      if (path !== undefined) host.driver.mutate((now) => transport.relays.withdraw(path, now));
      holding.settle = undefined;
      settle?.(undefined);
    }
  }

  onRelayEvent(event: RelayStateEvent): void {
    const { path } = event.server;
    const holding = this.#byPath.get(path);
    const settle = holding?.settle;
    if (event.type !== 'relay-allocated') this.#abandon(path);
    if (holding === undefined) return;
    holding.settle = undefined;
    if (settle !== undefined) settle(event);
    else if (event.type === 'relay-failed' && !holding.withdrawn) this.#onLost(holding, event);
  }

  #onLost(holding: Holding, event: RelayStateEvent & { readonly type: 'relay-failed' }): void {
    this.#holdings.delete(keyOf(holding.wanted)); // an ICE restart asks that server again
    this.#noteFailure(holding, event);
    if (!holding.isFinal) this.#renewLater(holding);
  }

  /** RFC 8656 §7.4. */
  #noteFailure(holding: Holding, event: RelayStateEvent & { readonly type: 'relay-failed' }): void {
    const { wanted } = holding;
    const { failure, code, retryAfterMs } = event;
    const renewed = this.#renewed(wanted);
    // A token that has expired can be had anew, and the application may have set another password meanwhile.
    const sameAgain = renewed?.username === wanted.username && renewed.password === wanted.password;
    const hasTokens = this.#given.options.turn?.accessTokenFor !== undefined;
    const isRefused = failure === 'wrong-credentials' && !hasTokens && sameAgain;
    holding.retryAfterMs = retryAfterMs;
    holding.isFinal = isRefused || (failure === 'rejected' && FINAL_CODES.has(code));
  }

  /** Nothing is asked for any more. */
  close(): void {
    for (const key of [...this.#renewals.keys()]) this.#cancelRenewal(key);
  }

  /** Gets one relay, unless there is one. */
  async #hold(wanted: Wanted): Promise<void> {
    const { platform } = this.#given;
    const key = keyOf(wanted);
    if (this.#holdings.has(key)) return;
    const holding: Holding = {
      wanted,
      since: 0,
      path: undefined,
      settle: undefined,
      retryAfterMs: 0,
      isFinal: false,
      withdrawn: false,
    };
    this.#holdings.set(key, holding);
    const stands = await this.#obtain(holding);
    holding.since = platform.now();
    if (stands || holding.withdrawn) return;
    this.#holdings.delete(key);
    if (wanted.renewals > 0 && !holding.isFinal) this.#renewLater(holding);
  }

  /** What is to be asked for in the place of a relay that is gone; undefined where its server is not wanted any more. */
  #renewed(wanted: Wanted): Wanted | undefined {
    const { url, username, password } = wanted;
    if (isListed(this.#servers, url.url, username, password)) return wanted;
    const server = this.#servers.find(({ urls }) => urls.some((known) => known.url === url.url));
    if (server?.username === undefined || server.credential === undefined) return undefined;
    return { ...wanted, username: server.username, password: server.credential };
  }

  #renewLater({ wanted, since, retryAfterMs }: Holding): void {
    const { platform, transport } = this.#given;
    const now = platform.now();
    const renewals = now - since >= RELAY_STABLE_MS ? 0 : wanted.renewals;
    if (transport.isClosed || renewals >= MAX_RELAY_RENEWALS) return;
    const key = keyOf(wanted);
    const delayMs = Math.max(RELAY_RENEWAL_MS * 2 ** renewals, retryAfterMs);
    const cancel = platform.setTimer(now + delayMs, () => {
      this.#renewals.delete(key);
      const renewed = this.#renewed(wanted);
      if (renewed !== undefined && !transport.isClosed) void this.#hold({ ...renewed, renewals: renewals + 1 });
    });
    this.#renewals.set(key, cancel);
  }

  #cancelRenewal(key: string): void {
    this.#renewals.get(key)?.();
    this.#renewals.delete(key);
  }

  /** The way is of no use any more. */
  #abandon(path: FiveTuple): void {
    const { host } = this.#given;
    this.#byPath.delete(path);
    host.streams.closePath(path);
    if (this.#ownSockets.delete(path.local)) host.unbind(path.local);
    else this.#sharedWays.delete(formatFiveTuple(path));
  }

  /** @returns whether there is an allocation now. */
  async #obtain(holding: Holding): Promise<boolean> {
    const { wanted } = holding;
    const { platform, transport } = this.#given;
    let remote = wanted.address;
    let serverName = wanted.url.host; // in its certificate (RFC 8489 §10)
    let own = usesSocket(wanted.url) && platform.bindPrivateUdp !== undefined;
    for (let attempt = 1; ; attempt++) {
      const path = await this.#open(wanted, own, remote, serverName);
      if (path === undefined) return false;
      if (transport.isClosed || holding.withdrawn) {
        this.#abandon(path);
        return false;
      }
      const event = await this.#allocate(holding, path, serverName);
      if (event?.type !== 'relay-failed') return event?.type === 'relay-allocated';
      const last = attempt === MAX_RELAY_ATTEMPTS;
      if (event.failure === 'redirected' && event.alternateServer !== undefined && !last) {
        remote = event.alternateServer;
        serverName = event.alternateDomain ?? serverName;
      } else if (event.failure === 'address-in-use' && !last) {
        // RFC 8656 §7.4: "the client SHOULD … use a different client transport address". A new connection has one.
        own = usesSocket(wanted.url);
      } else {
        this.#noteFailure(holding, event);
        this.#fail(wanted, event.code, event.reason);
        return false;
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

  /**
   * The 5-tuple to the server; undefined where it cannot be reached.
   * @param own - over a socket that is the relay's alone; also where another relay has the shared one's way.
   */
  async #open(
    wanted: Wanted,
    own: boolean,
    remote: TransportAddress,
    serverName: string,
  ): Promise<FiveTuple | undefined> {
    const { host, options } = this.#given;
    const { transport: protocol } = wanted.url;
    if (protocol === 'udp' || protocol === 'dtls') {
      const shared: FiveTuple = { protocol, local: wanted.base, remote };
      const key = formatFiveTuple(shared);
      if (!own && !this.#sharedWays.has(key)) {
        this.#sharedWays.add(key);
        return shared;
      }
      const local = await this.#bindOwn(wanted);
      return local && { protocol, local, remote };
    }
    try {
      const localIp = wanted.base.ip;
      return await host.streams.connect({ protocol, remote, localIp, serverName, ca: options.turn?.ca });
    } catch (error) {
      this.#fail(wanted, SERVER_UNREACHABLE, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  /** @returns how it ended; undefined where it did not begin. */
  async #allocate(holding: Holding, path: FiveTuple, serverName: string): Promise<RelayStateEvent | undefined> {
    const { wanted } = holding;
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
      const outcome = new Promise<RelayStateEvent | undefined>((resolve) => {
        holding.settle = resolve;
      });
      holding.path = path;
      this.#byPath.set(path, holding);
      if (host.driver.mutate((now) => transport.relays.add(server, now))) return await outcome;
      this.#fail(wanted, SERVER_UNREACHABLE, 'too many relays');
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      this.#fail(wanted, SERVER_UNREACHABLE, error.message); // a name or password that OpaqueString does not allow
    }
    holding.settle = undefined;
    holding.path = undefined;
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

/** Which relays are the same: what another account allocates is another relay. */
function keyOf({ url, address, base, username, password }: Wanted): string {
  return JSON.stringify([url.transport, formatAddress(address), formatAddress(base), username, password]);
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
