import { readFileSync } from 'node:fs';

/**
 * Whether the system sets the DF bit on the IPv4 datagrams of a UDP socket that fit into the path MTU it knows: Linux does,
 * unless its path-MTU discovery is switched off (`ip_no_pmtu_disc`). Node cannot ask for it, nor for a single datagram.
 */
export function systemSetsDontFragment(): boolean {
  try {
    return readFileSync('/proc/sys/net/ipv4/ip_no_pmtu_disc', 'latin1').trim() === '0';
  } catch {
    return false; // another system: not known
  }
}
