import {
  bytesToHex,
  type DeadlineHeap,
  type Env,
  formatAddress,
  type Instant,
  ipFamily,
  type TransportAddress,
  UsageError,
} from '../../core/index.ts';
import { MAX_PORT_ATTEMPTS, RESERVATION_LIFETIME_MS } from '../limits.ts';
import { Relay } from './allocation.ts';
import { createExpiry, type Expiry } from './expiry.ts';
import { DEFAULT_MAX_PORT, DEFAULT_MIN_PORT, PortPool } from './ports.ts';
import type { RelayAddress, RelayId, TurnServerEvent } from './types.ts';

/** What is wanted of a port: any, an even one, or an even one with the next one too (RFC 8656 §7.2). */
export type PortKind = 'any' | 'even' | 'even-pair';

/** Gets the open relays, or nothing when no port could be opened. */
export type OnSettled = (relays: readonly Relay[], now: Instant) => void;

/** One address with its ports. */
interface Site {
  readonly ip: string;
  readonly externalIp: string;
  readonly mtuBytes: number | undefined;
  readonly ports: PortPool;
}

/** A port, or two neighbours, on the way to being opened. */
interface Opening {
  readonly site: Site;
  readonly transport: 'udp' | 'tcp';
  readonly kind: PortKind;
  readonly settled: OnSettled;
  attempts: number;
  /** Sockets whose outcome the shell has not told yet. */
  waiting: number;
  readonly opened: Relay[];
  failed: boolean;
}

/** A relayed address held for whoever brings the token (RFC 8656 §7.2). */
interface Reservation {
  readonly relay: Relay;
  readonly quotaKey: string;
  readonly deadline: Expiry;
}

/** Bytes of a RESERVATION-TOKEN (RFC 8656 §18.10). */
const TOKEN_BYTES = 8;

/** All relayed addresses of a server: ports, sockets on their way, open relays, reservations. */
export class RelayTable {
  readonly #env: Env;
  readonly #emit: (event: TurnServerEvent) => void;
  readonly #deadlines: DeadlineHeap<Expiry>;
  readonly #sites: Record<4 | 6, Site[]> = { 4: [], 6: [] };
  readonly #nextSite: Record<4 | 6, number> = { 4: 0, 6: 0 };
  readonly #openings = new Map<RelayId, { readonly opening: Opening; readonly local: TransportAddress }>();
  readonly #byLocal = new Map<string, Relay>();
  readonly #byExternal = new Map<string, Relay>();
  readonly #reservations = new Map<string, Reservation>();
  readonly #member: number | undefined;
  #lastId = 0;

  /**
   * @param member - of a fleet: the first byte of its tokens.
   * @throws {UsageError} for a bad port range, or an address given twice.
   */
  constructor(
    env: Env,
    addresses: readonly RelayAddress[],
    ports: { readonly min?: number | undefined; readonly max?: number | undefined },
    deadlines: DeadlineHeap<Expiry>,
    emit: (event: TurnServerEvent) => void,
    member: number | undefined,
  ) {
    this.#member = member;
    this.#env = env;
    this.#deadlines = deadlines;
    this.#emit = emit;
    for (const { ip, externalIp = ip, mtuBytes } of addresses) {
      const sites = this.#sites[ipFamily(ip)];
      if (ipFamily(externalIp) !== ipFamily(ip)) throw new UsageError(`${externalIp} cannot stand for ${ip}`);
      if (sites.some((site) => site.ip === ip)) throw new UsageError(`the relay address ${ip} is given twice`);
      const pool = new PortPool(env, ports.min ?? DEFAULT_MIN_PORT, ports.max ?? DEFAULT_MAX_PORT);
      sites.push({ ip, externalIp, mtuBytes, ports: pool });
    }
  }

  get openCount(): number {
    return this.#byLocal.size;
  }

  get reservationCount(): number {
    return this.#reservations.size;
  }

  /** Whether there is an address of that family. */
  supports(family: 4 | 6): boolean {
    return this.#sites[family].length > 0;
  }

  /** The relay whose socket is bound there. */
  atLocal(address: TransportAddress): Relay | undefined {
    return this.#byLocal.get(formatAddress(address));
  }

  /** The relay that peers know by that address. */
  atExternal(address: TransportAddress): Relay | undefined {
    return this.#byExternal.get(formatAddress(address));
  }

  /** Asks for sockets; `settled` is called once, perhaps at once, when there are none to be had. */
  open(family: 4 | 6, transport: 'udp' | 'tcp', kind: PortKind, settled: OnSettled, now: Instant): void {
    const sites = this.#sites[family];
    const site = sites[this.#nextSite[family]++ % Math.max(sites.length, 1)];
    if (site === undefined) settled([], now);
    else this.#try({ site, transport, kind, settled, attempts: 0, waiting: 0, opened: [], failed: false }, now);
  }

  /** The shell has bound the socket. @throws {UsageError} when it was not asked for. */
  opened(id: RelayId, local: TransportAddress, now: Instant): void {
    const { opening } = this.#takeOpening(id);
    const { externalIp, mtuBytes } = opening.site;
    const relay = new Relay(id, local, { ip: externalIp, port: local.port }, mtuBytes);
    this.#byLocal.set(formatAddress(local), relay);
    this.#byExternal.set(relay.externalKey, relay);
    opening.opened.push(relay);
    opening.waiting--;
    this.#progress(opening, now);
  }

  /** The shell could not bind it: another program has the port. @throws {UsageError} when it was not asked for. */
  failed(id: RelayId, now: Instant): void {
    const { opening, local } = this.#takeOpening(id);
    opening.site.ports.release(local.port);
    opening.failed = true;
    opening.waiting--;
    this.#progress(opening, now);
  }

  /** Closes the socket and gives the port back. Idempotent. */
  close(relay: Relay): void {
    if (relay.isClosed) return;
    relay.isClosed = true;
    this.#byLocal.delete(formatAddress(relay.local));
    this.#byExternal.delete(relay.externalKey);
    const site = this.#sites[relay.family].find(({ ip }) => ip === relay.local.ip);
    site?.ports.release(relay.local.port);
    this.#emit({ type: 'close-relay', relay: relay.id, local: relay.local });
  }

  /** Holds a relay for 30 seconds (RFC 8656 §7.2). @returns the token, 8 random bytes. */
  reserve(relay: Relay, quotaKey: string, expired: (quotaKey: string) => void, now: Instant): Uint8Array {
    const token = new Uint8Array(TOKEN_BYTES);
    this.#env.random(token);
    if (this.#member !== undefined) token[0] = this.#member;
    const key = bytesToHex(token);
    const deadline = createExpiry(() => {
      this.#reservations.delete(key);
      this.close(relay);
      expired(quotaKey);
    });
    this.#reservations.set(key, { relay, quotaKey, deadline });
    this.#deadlines.set(deadline, now + RESERVATION_LIFETIME_MS);
    return token;
  }

  /** Whether the token would be claimed. */
  isReserved(token: Uint8Array): boolean {
    return this.#reservations.has(bytesToHex(token));
  }

  /** Hands the reserved relay over, once, with whose quota it counted on. */
  claim(token: Uint8Array): { readonly relay: Relay; readonly quotaKey: string } | undefined {
    const key = bytesToHex(token);
    const reservation = this.#reservations.get(key);
    if (reservation === undefined) return undefined;
    this.#reservations.delete(key);
    this.#deadlines.remove(reservation.deadline);
    return reservation;
  }

  #try(opening: Opening, now: Instant): void {
    opening.failed = false;
    const port = opening.attempts++ < MAX_PORT_ATTEMPTS ? opening.site.ports.take(opening.kind) : undefined;
    if (port === undefined) {
      opening.settled([], now);
      return;
    }
    const ports = opening.kind === 'even-pair' ? [port, port + 1] : [port];
    opening.waiting = ports.length;
    for (const each of ports) {
      const id = ++this.#lastId;
      const local = { ip: opening.site.ip, port: each };
      this.#openings.set(id, { opening, local });
      this.#emit({ type: 'open-relay', relay: id, local, transport: opening.transport });
    }
  }

  #progress(opening: Opening, now: Instant): void {
    if (opening.waiting > 0) return;
    if (!opening.failed) {
      opening.settled(
        opening.opened.toSorted((a, b) => a.local.port - b.local.port),
        now,
      );
      return;
    }
    for (const relay of opening.opened.splice(0)) this.close(relay); // one of a pair alone is of no use
    this.#try(opening, now);
  }

  #takeOpening(id: RelayId): { readonly opening: Opening; readonly local: TransportAddress } {
    const entry = this.#openings.get(id);
    if (entry === undefined) throw new UsageError(`relay ${id} was not asked for`);
    this.#openings.delete(id);
    return entry;
  }
}
