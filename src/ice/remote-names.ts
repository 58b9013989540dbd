import { canonicalIp } from '../core/index.ts';
import type { IceCandidate } from './candidate.ts';

/**
 * Remote candidates whose address is an mDNS name, while somebody resolves it (draft-ietf-mmusic-mdns-ice-candidates
 * §3.2). A name that is never resolved costs its own candidates and nothing else.
 */
export class RemoteNames {
  readonly #limit: number;
  readonly #waiting = new Map<string, IceCandidate[]>();
  #count = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns `ask` when the name is new, `known` when it is being resolved already, `full` at the bound. */
  add(candidate: IceCandidate): 'ask' | 'known' | 'full' {
    if (this.#count >= this.#limit) return 'full';
    this.#count++;
    const name = candidate.address.toLowerCase();
    const others = this.#waiting.get(name);
    if (others !== undefined) {
      others.push(candidate);
      return 'known';
    }
    this.#waiting.set(name, [candidate]);
    return 'ask';
  }

  /**
   * The candidates of a name, with its address. The draft: a name that resolves to more than one address makes its
   * candidate ignored, since a peer registers one name per address.
   */
  resolve(hostname: string, addresses: readonly string[]): IceCandidate[] {
    const name = hostname.toLowerCase();
    const candidates = this.#waiting.get(name) ?? [];
    this.#waiting.delete(name);
    this.#count -= candidates.length;
    const address = addresses.length === 1 ? canonicalIp(addresses[0]!) : undefined;
    return address === undefined ? [] : candidates.map((candidate) => ({ ...candidate, address }));
  }

  /** Names without an answer yet. */
  get pending(): boolean {
    return this.#count > 0;
  }

  clear(): void {
    this.#waiting.clear();
    this.#count = 0;
  }
}
