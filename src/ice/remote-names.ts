import { canonicalIp, ipFamily } from '../core/index.ts';
import { type IceCandidate, isMdnsName } from './candidate.ts';

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

/** What a signalled candidate is good for. */
export type RemoteKind =
  /** Its address in canonical text can be checked. */
  | { readonly kind: 'address'; readonly candidate: IceCandidate }
  /** Its address is a name that somebody has to resolve. */
  | { readonly kind: 'name' }
  | { readonly kind: 'refused'; readonly reason: 'unsupported' | 'bad-value'; readonly detail: string };

/** RFC 8839 §5.1: what cannot be used is ignored. */
export function classifyRemote(candidate: IceCandidate): RemoteKind {
  if (candidate.component !== 1) return { kind: 'refused', reason: 'unsupported', detail: 'component' };
  const address = canonicalIp(candidate.address);
  if (address !== undefined) {
    if (isUsableTarget(address, candidate.port)) return { kind: 'address', candidate: { ...candidate, address } };
    return { kind: 'refused', reason: 'bad-value', detail: 'remote address' };
  }
  if (isMdnsName(candidate.address)) return { kind: 'name' };
  return { kind: 'refused', reason: 'unsupported', detail: 'FQDN candidate' };
}

/** Something a check may be sent to: no "this network", multicast, reserved or broadcast address. */
function isUsableTarget(address: string, port: number): boolean {
  if (port === 0) return false;
  if (ipFamily(address) === 6) return address !== '::' && !address.startsWith('ff');
  const first = Number(address.slice(0, address.indexOf('.')));
  return first !== 0 && first < 224;
}
