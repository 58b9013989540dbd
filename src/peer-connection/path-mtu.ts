import type { FiveTuple, InterfaceAddress } from '../core/index.ts';

/**
 * The largest IP packet that the first hop of a path takes, bytes; undefined where the system does not tell. A path to an
 * address of this machine goes over loopback, whichever interface the addresses belong to.
 */
export function firstHopMtu(path: FiveTuple, interfaces: readonly InterfaceAddress[]): number | undefined {
  const stays = interfaces.some(({ ip }) => ip === path.remote.ip);
  const hop = interfaces.find(({ ip, internal }) => (stays ? internal : ip === path.local.ip));
  return hop?.mtuBytes;
}
