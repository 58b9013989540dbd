import type { FiveTuple, InterfaceAddress } from '../core/index.ts';

/**
 * The largest IP packet that the first hop of a path takes, bytes; undefined where the system does not tell. A path to an
 * address of this machine goes over loopback, whichever interface the addresses belong to.
 */
export function firstHopMtu(path: FiveTuple, interfaces: readonly InterfaceAddress[]): number | undefined {
  // Over TCP every size arrives, also one that the peer has no room for: Chromium's DTLS stops at its first 16 KiB record.
  if (path.protocol !== 'udp') return undefined;
  const stays = interfaces.some(({ ip }) => ip === path.remote.ip);
  const hop = interfaces.find(({ ip, internal }) => (stays ? internal : ip === path.local.ip));
  return hop?.mtuBytes;
}
