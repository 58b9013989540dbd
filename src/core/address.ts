import { DecodeError } from './errors.ts';

/** A transport address as protocols carry it: 4 or 16 bytes, network order. */
export interface WireAddress {
  readonly ip: Uint8Array;
  readonly port: number;
}

/**
 * A transport address as APIs and maps use it. `ip` is canonical text: dotted decimal, or RFC 5952 form for IPv6 without
 * brackets or zone; equal addresses have equal text.
 */
export interface TransportAddress {
  readonly ip: string;
  readonly port: number;
}

/** How datagrams travel below ICE and TURN. */
export type TransportProtocol = 'udp' | 'tcp' | 'tls' | 'dtls';

/**
 * The path of a datagram below ICE and TURN (RFC 8656 §3: client address, server address, protocol). `local` is the
 * address the socket is bound to (the base, in ICE's words). Shells keep one object per path and hand out that same
 * object for each datagram, so that a per-packet lookup can be by identity.
 */
export interface FiveTuple {
  readonly protocol: TransportProtocol;
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
}

/** `ip:port`, or `[ip]:port` for IPv6: a map key and what a person reads. */
export function formatAddress(address: TransportAddress): string {
  return address.ip.includes(':') ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

export function sameAddress(a: TransportAddress, b: TransportAddress): boolean {
  return a.port === b.port && a.ip === b.ip;
}

/** A map key for a path. */
export function formatFiveTuple(path: FiveTuple): string {
  return `${path.protocol} ${formatAddress(path.local)} ${formatAddress(path.remote)}`;
}

/** 4 or 6 of canonical address text. */
export function ipFamily(ip: string): 4 | 6 {
  return ip.includes(':') ? 6 : 4;
}

/** Text to wire form. @throws {DecodeError} `bad-value` when `ip` is not an address. */
export function toWireAddress(address: TransportAddress): WireAddress {
  const ip = parseIp(address.ip);
  if (ip === undefined) throw new DecodeError('bad-value', 'ip', 0);
  return { ip, port: address.port };
}

/** Wire form to text. */
export function fromWireAddress(address: WireAddress): TransportAddress {
  return { ip: formatIp(address.ip), port: address.port };
}

/** 4 or 16 bytes to canonical text (RFC 5952 §4). */
export function formatIp(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join('.');
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((ip[i]! << 8) | ip[i + 1]!);
  const run = longestZeroRun(groups);
  if (run.start === 0 && run.length === 5 && groups[5] === 0xffff) {
    return `::ffff:${ip.subarray(12).join('.')}`; // RFC 5952 §5: IPv4-mapped addresses are written in mixed notation
  }
  const hex = groups.map((g) => g.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

/** RFC 5952 §4.2: the longest run of zero groups is compressed, the first of equals. */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (i < groups.length && groups[i] === 0) continue;
    if (i - start > best.length) best = { start, length: i - start };
    start = i + 1;
  }
  return best;
}

/** Address text to 4 or 16 bytes; undefined when it is neither IPv4 nor IPv6. Zones (`%eth0`) are not part of it. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Canonical text of any legal spelling; undefined when it is no address. */
export function canonicalIp(text: string): string | undefined {
  const bytes = parseIp(text);
  if (bytes === undefined) return undefined;
  return bytes.length === 4 ? text : formatIp(bytes); // IPv4 addresses have one spelling only
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    // No leading zeros: some resolvers read them as octal, so that two readers could see two addresses.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const bytes = new Uint8Array(16);
  writeGroups(bytes, 0, head);
  writeGroups(bytes, 8 - tail.length, tail);
  return bytes;
}

/** @param at - the place of the first group. */
function writeGroups(bytes: Uint8Array, at: number, groups: readonly number[]): void {
  for (let i = 0; i < groups.length; i++) {
    const group = groups[i]!;
    bytes[2 * (at + i)] = group >>> 8;
    bytes[2 * (at + i) + 1] = group;
  }
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i]!;
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const v4 = mayEndInIpv4 && i === parts.length - 1 ? parseIpv4(part) : undefined;
    if (v4 === undefined) return undefined;
    groups.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!);
  }
  return groups;
}
