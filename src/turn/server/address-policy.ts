import { formatIp, parseIp, UsageError } from '../../core/index.ts';

/**
 * What kind of address a peer has. Everything but `global` is refused by default: a relay stands inside somebody's
 * network, and must not become a way into it (RFC 8656 §21.2.1, §21.4).
 */
export type AddressClass =
  | 'global'
  | 'unspecified' // 0.0.0.0/8, ::
  | 'loopback'
  | 'link-local'
  | 'private' // also shared (CGN), unique-local and site-local
  | 'multicast'
  | 'broadcast'
  | 'reserved'
  /** IPv4 in IPv6 clothes: mapped and compatible addresses never appear on a wire. */
  | 'mapped'
  /** RFC 8656 §21.4: "a TURN server MUST NOT accept Teredo or 6to4 addresses". */
  | 'tunnel';

/** An inclusive range of addresses of one family. */
export interface AddressRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

interface ClassifiedRange extends AddressRange {
  readonly addressClass: AddressClass;
}

function prefix(text: string, addressClass: AddressClass): ClassifiedRange {
  return { ...parseAddressRange(text), addressClass };
}

/** The first match counts. RFC 6890 and the IANA special-purpose registries. */
const IPV4_RANGES: readonly ClassifiedRange[] = [
  prefix('0.0.0.0/8', 'unspecified'),
  prefix('10.0.0.0/8', 'private'),
  prefix('100.64.0.0/10', 'private'), // RFC 6598 §7: shared with the provider's own network
  prefix('127.0.0.0/8', 'loopback'),
  prefix('169.254.0.0/16', 'link-local'), // also where clouds keep their metadata
  prefix('172.16.0.0/12', 'private'),
  prefix('192.0.0.0/24', 'reserved'),
  prefix('192.168.0.0/16', 'private'),
  prefix('198.18.0.0/15', 'reserved'),
  prefix('224.0.0.0/4', 'multicast'),
  prefix('255.255.255.255', 'broadcast'),
  prefix('240.0.0.0/4', 'reserved'),
];

const IPV6_RANGES: readonly ClassifiedRange[] = [
  prefix('::', 'unspecified'),
  prefix('::1', 'loopback'),
  prefix('::/96', 'mapped'), // IPv4-compatible, RFC 4291 §2.5.5.1
  prefix('::ffff:0:0/96', 'mapped'), // IPv4-mapped, RFC 4291 §2.5.5.2
  prefix('::ffff:0:0:0/96', 'mapped'), // IPv4-translated, RFC 2765 §2.1
  prefix('64:ff9b:1::/48', 'private'), // RFC 8215 §4: a NAT64 of somebody's own
  prefix('100::/64', 'reserved'), // discard-only
  prefix('2001::/32', 'tunnel'), // Teredo
  prefix('2002::/16', 'tunnel'), // 6to4
  prefix('fc00::/7', 'private'),
  prefix('fe80::/10', 'link-local'),
  prefix('fec0::/10', 'private'), // site-local, RFC 3879 §4
  prefix('ff00::/8', 'multicast'),
];

/** RFC 6052 §2.1: the last four bytes are the IPv4 address that a translator will make of it. */
const NAT64: AddressRange = parseAddressRange('64:ff9b::/96');

/** Classifies 4 or 16 bytes. An address behind a NAT64 has the class of the IPv4 address that it stands for. */
export function classifyAddress(ip: Uint8Array): AddressClass {
  if (ip.length === 16 && inRange(ip, NAT64)) return classifyAddress(ip.subarray(12));
  // ISATAP (RFC 5214 §6.1) hides an IPv4 address in the interface identifier of any prefix.
  if (ip.length === 16 && isIsatap(ip)) {
    const inner = classifyAddress(ip.subarray(12));
    if (inner !== 'global') return inner;
  }
  const ranges = ip.length === 4 ? IPV4_RANGES : IPV6_RANGES;
  return ranges.find((range) => inRange(ip, range))?.addressClass ?? 'global';
}

function isIsatap(ip: Uint8Array): boolean {
  return (ip[8]! & 0xfd) === 0 && ip[9] === 0 && ip[10] === 0x5e && ip[11] === 0xfe;
}

/**
 * Reads an address, a range `first-last` as coturn writes it, or a prefix `address/bits`.
 * @throws {UsageError} for anything else.
 */
export function parseAddressRange(text: string): AddressRange {
  const dash = text.split('-');
  const slash = text.split('/');
  if (dash.length === 2) {
    const first = parseIp(dash[0]!.trim());
    const last = parseIp(dash[1]!.trim());
    if (first !== undefined && last !== undefined && first.length === last.length && compare(first, last) <= 0) {
      return { first, last };
    }
  } else if (slash.length === 2) {
    const ip = parseIp(slash[0]!);
    const bits = Number(slash[1]);
    if (ip !== undefined && /^\d{1,3}$/.test(slash[1]!) && bits <= ip.length * 8) return prefixRange(ip, bits);
  } else {
    const ip = parseIp(text);
    if (ip !== undefined) return { first: ip, last: ip };
  }
  throw new UsageError(`'${text}' is not an address, a range (first-last) or a prefix (address/bits)`);
}

function prefixRange(ip: Uint8Array, bits: number): AddressRange {
  const mask = (i: number) => (0xff00 >> Math.min(Math.max(bits - 8 * i, 0), 8)) & 0xff;
  return { first: ip.map((byte, i) => byte & mask(i)), last: ip.map((byte, i) => byte | (~mask(i) & 0xff)) };
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}

function inRange(ip: Uint8Array, range: AddressRange): boolean {
  return ip.length === range.first.length && compare(range.first, ip) <= 0 && compare(ip, range.last) <= 0;
}

export interface PeerPolicyOptions {
  /** Lets clients reach services on this very machine: for tests. */
  readonly allowLoopback?: boolean;
  readonly allowLinkLocal?: boolean;
  /** For servers that relay inside one network. */
  readonly allowPrivate?: boolean;
  readonly allowMulticast?: boolean;
  /** Addresses, `first-last` or `address/bits`. Allowed whatever their class, and whatever `deniedPeers` says. */
  readonly allowedPeers?: readonly string[];
  /** Denied in addition. */
  readonly deniedPeers?: readonly string[];
  /** IP addresses of this machine in canonical text: of them clients reach relayed addresses only. */
  readonly ownAddresses?: readonly string[];
}

/** `own`: one of this server's addresses, where only its relayed addresses may be reached. */
export type PeerVerdict = 'allowed' | 'denied' | 'own';

/** Which peers a client may reach through the relay. */
export class PeerPolicy {
  readonly #allowedClasses: ReadonlySet<AddressClass>;
  readonly #allowed: readonly AddressRange[];
  readonly #denied: readonly AddressRange[];
  readonly #own = new Set<string>();
  readonly #allowLoopback: boolean;

  /** @throws {UsageError} for a range that cannot be read. */
  constructor(options: PeerPolicyOptions) {
    const classes = new Set<AddressClass>(['global']);
    if (options.allowLoopback === true) classes.add('loopback');
    if (options.allowLinkLocal === true) classes.add('link-local');
    if (options.allowPrivate === true) classes.add('private');
    if (options.allowMulticast === true) classes.add('multicast');
    this.#allowedClasses = classes;
    this.#allowLoopback = options.allowLoopback === true;
    this.#allowed = (options.allowedPeers ?? []).map(parseAddressRange);
    this.#denied = (options.deniedPeers ?? []).map(parseAddressRange);
    for (const ip of options.ownAddresses ?? []) this.addOwn(ip);
  }

  /** One more address of this machine, in canonical text. */
  addOwn(ip: string): void {
    this.#own.add(ip);
  }

  /** @param ip - canonical text. */
  verdict(ip: string): PeerVerdict {
    const bytes = parseIp(ip);
    if (bytes === undefined) return 'denied';
    const inner = bytes.length === 16 && inRange(bytes, NAT64) ? bytes.subarray(12) : undefined;
    if (this.#matches(this.#allowed, bytes, inner)) return 'allowed';
    if (this.#matches(this.#denied, bytes, inner)) return 'denied';
    const addressClass = classifyAddress(bytes);
    const isOwn = this.#own.has(ip) || (inner !== undefined && this.#own.has(formatIp(inner)));
    // "Loopback allowed" means exactly this machine; "private allowed" does not.
    if (isOwn && !(addressClass === 'loopback' && this.#allowLoopback)) return 'own';
    return this.#allowedClasses.has(addressClass) ? 'allowed' : 'denied';
  }

  #matches(ranges: readonly AddressRange[], ip: Uint8Array, inner: Uint8Array | undefined): boolean {
    return ranges.some((range) => inRange(ip, range) || (inner !== undefined && inRange(inner, range)));
  }
}

/** RFC 8656 §21.4: clients at the end of a public tunnel are refused, because the tunnel would loop packets. */
export function isTunnelAddress(ip: string): boolean {
  if (!ip.startsWith('2001:') && !ip.startsWith('2002:')) return false; // cheap: asked for each request
  const bytes = parseIp(ip);
  return bytes !== undefined && classifyAddress(bytes) === 'tunnel';
}
