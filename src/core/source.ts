/**
 * Whom a bound per source counts: an IPv4 address, or the /64 of an IPv6 address, which one host owns as a whole (RFC 4291
 * §2.5.4: 64 bits of interface ID).
 * @param ip - canonical text.
 */
export function sourceOf(ip: string): string {
  if (!ip.includes(':')) return ip;
  const [head, tail] = ip.split('::');
  const groups = head === '' ? [] : (head ?? '').split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  if (tail !== undefined) while (groups.length + behind.length < 8) groups.push('0');
  return `${[...groups, ...behind].slice(0, 4).join(':')}::/64`;
}
