import { formatIp, parseIp } from './address.ts';

const MAPPED = '::ffff:';

/**
 * Whom a bound per source counts: an IPv4 address, also in its IPv6 form (RFC 4291 §2.5.5.2: what a socket for both families
 * says), or the /64 of an IPv6 address, which one host owns as a whole (§2.5.4: 64 bits of interface ID).
 * @param ip - canonical text.
 */
export function sourceOf(ip: string): string {
  if (!ip.includes(':')) return ip;
  if (ip.startsWith(MAPPED) && ip.includes('.')) return ip.slice(MAPPED.length);
  const bytes = parseIp(ip);
  return bytes === undefined ? ip : `${formatIp(bytes.fill(0, 8))}/64`;
}
