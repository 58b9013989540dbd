import { BlockList } from 'node:net';
import makeMdns from 'multicast-dns';
import { canonicalIp, type InterfaceAddress, ipFamily, type MulticastNames } from '../core/index.ts';
import { systemInterfaces } from './system-interfaces.ts';

/** RFC 6762 §5.2: the second question a second after the first, then twice as long each time. Milliseconds. */
const QUESTION_TIMES_MS: readonly number[] = [0, 1000, 3000];
/** When a name counts as unknown. */
export const MDNS_TIMEOUT_MS = 5000;
/** Names being asked for at a time, over all connections; one more resolves to nothing. */
export const MAX_MDNS_QUESTIONS = 256;
/** Names we answer for; one more is an error of the caller's. */
export const MAX_MDNS_NAMES = 4096;
/** Answers that leave on one link in one second, so that a flood of questions does not become one of answers. */
export const MAX_MDNS_ANSWERS_PER_SECOND = 100;
/** RFC 6762 §6: "MUST NOT … multicast a record on a given interface until at least one second has elapsed". */
export const MDNS_RECORD_INTERVAL_MS = 1000;
/** Questions of one message that are looked at: a browser asks two. */
export const MAX_MDNS_MESSAGE_QUESTIONS = 16;

const MDNS_PORT = 5353;
/** RFC 6762 §10: of records that contain a host name or address, seconds. */
const TTL_S = 120;
const IPV6_GROUP = 'ff02::fb';

type Mdns = makeMdns.MulticastDNS;
type Answer = Extract<Parameters<Mdns['respond']>[0], unknown[]>[number];

export interface MulticastDnsOptions {
  /** Default 5353; another one for tests. */
  readonly port?: number;
  readonly timeoutMs?: number;
}

interface Question {
  answer(addresses: readonly string[]): void;
}

interface Published {
  readonly hostname: string;
  readonly ip: string;
  /** When each record, by type, was last multicast. */
  readonly sentAt: Map<string, number>;
  /** Asked for again within that second: answered behind it, once. */
  readonly waiting: Map<string, NodeJS.Timeout>;
}

/**
 * {@link MulticastNames} on real links, with the `multicast-dns` package: one socket for each link, opened by the first
 * question or name there and closed behind the last. What browsers put into candidates since
 * draft-ietf-mmusic-mdns-ice-candidates: a random name for each host address.
 */
export class MulticastDns implements MulticastNames {
  readonly #port: number;
  readonly #timeoutMs: number;
  readonly #links = new Map<string, Link>();
  #questions = 0;
  #names = 0;

  constructor(options: MulticastDnsOptions = {}) {
    this.#port = options.port ?? MDNS_PORT;
    this.#timeoutMs = options.timeoutMs ?? MDNS_TIMEOUT_MS;
  }

  /** Sockets that are open now. */
  get openLinks(): number {
    return this.#links.size;
  }

  resolve(hostname: string, interfaces: readonly InterfaceAddress[], signal?: AbortSignal): Promise<readonly string[]> {
    if (this.#questions >= MAX_MDNS_QUESTIONS || signal?.aborted === true) return Promise.resolve([]);
    this.#questions++;
    const name = hostname.toLowerCase();
    const links = linksOf(interfaces).map((address) => this.#open(address));
    return new Promise((resolve) => {
      const question: Question = {
        answer: (addresses) => {
          signal?.removeEventListener('abort', abort);
          for (const timer of timers) clearTimeout(timer);
          for (const link of links) {
            link.forget(name, question);
            link.release();
          }
          this.#questions--;
          resolve(addresses);
        },
      };
      const abort = (): void => question.answer([]);
      const ask = (): void => {
        for (const link of links) link.ask(name);
      };
      for (const link of links) link.expect(name, question);
      const timers = QUESTION_TIMES_MS.map((delay) => setTimeout(ask, delay));
      timers.push(setTimeout(abort, this.#timeoutMs));
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  publish(hostname: string, address: InterfaceAddress): () => void {
    if (this.#names >= MAX_MDNS_NAMES) throw new Error(`multicast DNS answers for ${MAX_MDNS_NAMES} names at most`);
    this.#names++;
    const link = this.#open(address);
    const name = hostname.toLowerCase();
    link.names.set(name, { hostname, ip: address.ip, sentAt: new Map(), waiting: new Map() });
    let published = true;
    return () => {
      if (!published) return;
      published = false;
      this.#names--;
      link.withdraw(name);
      link.release();
    };
  }

  #open(address: InterfaceAddress): Link {
    const key = `${address.name} ${address.ip}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = new Link(address, this.#port, () => this.#links.delete(key));
      this.#links.set(key, link);
    }
    link.retain();
    return link;
  }
}

/** One socket for each interface: IPv4 where it has an address of that family, since everybody listens there. */
function linksOf(interfaces: readonly InterfaceAddress[]): InterfaceAddress[] {
  const links = new Map<string, InterfaceAddress>();
  for (const address of interfaces) {
    const known = links.get(address.name);
    if (known === undefined || (ipFamily(known.ip) === 6 && ipFamily(address.ip) === 4))
      links.set(address.name, address);
  }
  return [...links.values()];
}

/** The multicast group on one interface. */
class Link {
  readonly names = new Map<string, Published>();
  readonly #mdns: Mdns;
  readonly #port: number;
  readonly #interfaceName: string;
  readonly #onClosed: () => void;
  readonly #questions = new Map<string, Set<Question>>();
  #users = 0;
  /** Answers of the current second. */
  #answers = 0;
  #second = 0;
  /** Of the interface; looked up for the first answer to us, or question from a port of its own. */
  #subnets: BlockList | undefined;

  constructor(address: InterfaceAddress, port: number, onClosed: () => void) {
    this.#port = port;
    this.#interfaceName = address.name;
    this.#onClosed = onClosed;
    this.#mdns = makeMdns(
      ipFamily(address.ip) === 4
        ? { port, interface: address.ip, bind: '0.0.0.0' }
        : { port, type: 'udp6', ip: `${IPV6_GROUP}%${address.name}`, interface: `::%${address.name}`, bind: '::' },
    );
    // A link without multicast, or a port that somebody keeps to himself, costs the names and nothing else.
    this.#mdns.on('error', () => undefined);
    this.#mdns.on('response', (response, from) => this.#onResponse(response, from));
    this.#mdns.on('query', (query, from) => this.#onQuery(query, from));
  }

  retain(): void {
    this.#users++;
  }

  release(): void {
    if (--this.#users > 0) return;
    this.#onClosed();
    // Behind what was given to the socket in this turn: a farewell among it would be lost otherwise.
    setImmediate(() => this.#mdns.destroy());
  }

  expect(name: string, question: Question): void {
    const waiting = this.#questions.get(name) ?? new Set();
    this.#questions.set(name, waiting.add(question));
  }

  forget(name: string, question: Question): void {
    const waiting = this.#questions.get(name);
    waiting?.delete(question);
    if (waiting?.size === 0) this.#questions.delete(name);
  }

  /** RFC 6762 §5.1: both address types in one message. */
  ask(name: string): void {
    this.#mdns.query([
      { name, type: 'A' },
      { name, type: 'AAAA' },
    ]);
  }

  #onResponse(
    { answers = [], additionals = [] }: makeMdns.ResponsePacket,
    from: { readonly address: string; readonly port: number },
  ): void {
    if (from.port !== this.#port) return; // RFC 6762 §6: others MUST be ignored
    const found = new Map<string, string[]>();
    for (const record of [...answers, ...additionals]) {
      if ((record.type !== 'A' && record.type !== 'AAAA') || record.ttl === 0) continue;
      const ip = canonicalIp(record.data);
      const name = record.name.toLowerCase();
      if (ip === undefined || !this.#questions.has(name)) continue;
      const addresses = found.get(name) ?? [];
      if (!addresses.includes(ip)) found.set(name, [...addresses, ip]);
    }
    // RFC 6762 §11: "MUST only accept responses … that originate from the local link". Whether one was multicast, which would
    // prove it too, is not told; last, because the interface has to be looked up.
    if (found.size === 0 || !this.#isOnLink(from.address)) return;
    for (const [name, addresses] of found) {
      for (const question of [...(this.#questions.get(name) ?? [])]) question.answer(addresses);
    }
  }

  #onQuery(
    { id, questions = [] }: makeMdns.QueryPacket,
    from: { readonly address: string; readonly port: number },
  ): void {
    if (from.port === 0) return; // nobody listens there: a datagram out of nowhere, and sending to it throws
    const looked = questions.slice(0, MAX_MDNS_MESSAGE_QUESTIONS);
    const multicast = from.port === this.#port;
    // RFC 6762 §5.5: from outside of the link come direct questions only, and the name is to hide the address from there.
    if (!multicast && !this.#isOnLink(from.address)) return;
    const answers = looked.flatMap(({ name, type }) => {
      const published = this.names.get(name.toLowerCase());
      if (published === undefined) return [];
      const records = recordsOf(published, type, TTL_S);
      return multicast ? records.filter((record) => this.#isDue(published, record)) : records;
    });
    const unique = answers.filter((a, i) => answers.findIndex((b) => a.name === b.name && a.type === b.type) === i);
    if (unique.length === 0 || !this.#mayAnswer()) return;
    // RFC 6762 §6.7: a plain resolver asks from a port of its own, and is answered there.
    if (multicast) this.#multicast(unique);
    else this.#mdns.respond({ id, questions: looked, answers: unique }, { address: from.address, port: from.port });
  }

  #isOnLink(address: string): boolean {
    this.#subnets ??= subnetsOf(this.#interfaceName);
    const ip = address.replace(/%.*/, '');
    return this.#subnets.check(ip, ipFamily(ip) === 4 ? 'ipv4' : 'ipv6');
  }

  /** Whether the record may be multicast now; if not it is when its second is over. */
  #isDue(published: Published, record: Answer): boolean {
    const wait = (published.sentAt.get(record.type) ?? -Infinity) + MDNS_RECORD_INTERVAL_MS - performance.now();
    if (wait <= 0) return true;
    if (published.waiting.has(record.type)) return false;
    const timer = setTimeout(() => {
      published.waiting.delete(record.type);
      if (this.#mayAnswer()) this.#multicast([record]);
    }, wait);
    timer.unref();
    published.waiting.set(record.type, timer);
    return false;
  }

  #multicast(records: Answer[]): void {
    const now = performance.now();
    for (const { name, type } of records) this.names.get(name.toLowerCase())?.sentAt.set(type, now);
    this.#mdns.respond(records);
  }

  #mayAnswer(): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#answers = 0;
    this.#second = second;
    return ++this.#answers <= MAX_MDNS_ANSWERS_PER_SECOND;
  }

  /** RFC 6762 §10.1: a farewell, so that nobody keeps the name in a cache. */
  withdraw(name: string): void {
    const published = this.names.get(name);
    if (published === undefined) return;
    this.names.delete(name);
    for (const timer of published.waiting.values()) clearTimeout(timer);
    const type = ipFamily(published.ip) === 4 ? 'A' : 'AAAA';
    this.#mdns.respond(recordsOf(published, type, 0));
  }
}

/** The subnets of the interface, and this machine: a program of ours may answer on one link from its address on another. */
function subnetsOf(interfaceName: string): BlockList {
  const subnets = new BlockList();
  for (const [name, addresses] of Object.entries(systemInterfaces())) {
    for (const { address, cidr } of addresses ?? []) {
      const type = ipFamily(address) === 4 ? 'ipv4' : 'ipv6';
      const prefix = Number(cidr?.split('/')[1] ?? Number.NaN);
      if (name === interfaceName && Number.isInteger(prefix)) subnets.addSubnet(address, prefix, type);
      else subnets.addAddress(address, type);
    }
  }
  return subnets;
}

/** The address of a name; for the other type of address the statement that there is none (RFC 6762 §6.1). */
function recordsOf({ hostname: name, ip }: Published, asked: string, ttl: number): Answer[] {
  const type = ipFamily(ip) === 4 ? 'A' : 'AAAA';
  if (asked === type || asked === 'ANY') return [{ type, name, ttl, class: 'IN', flush: true, data: ip }];
  if (asked !== 'A' && asked !== 'AAAA') return [];
  return [{ type: 'NSEC', name, ttl, class: 'IN', flush: true, data: { nextDomain: name, rrtypes: [type] } }];
}
