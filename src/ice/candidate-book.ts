import { type FiveTuple, formatAddress, sameAddress, type TransportAddress } from '../core/index.ts';
import type { CheckRequest } from './binding.ts';
import type { IceCandidate, IceTransport, LocalCandidate, RemoteCandidate } from './candidate.ts';
import { MAX_LOCAL_CANDIDATES, MAX_REMOTE_CANDIDATES } from './limits.ts';

/** The candidates of both sides in one generation, and those that checks discover. Bounded on both sides. */
export class CandidateBook {
  readonly locals: LocalCandidate[] = [];
  readonly remotes: RemoteCandidate[] = [];
  readonly #nextId: () => number;

  constructor(nextId: () => number) {
    this.#nextId = nextId;
  }

  /** False: the bound is reached. */
  addLocal(local: LocalCandidate): boolean {
    if (this.locals.length >= MAX_LOCAL_CANDIDATES) return false;
    this.locals.push(local);
    return true;
  }

  /** Undefined: the bound is reached. */
  addRemote(candidate: IceCandidate): RemoteCandidate | undefined {
    if (this.remotes.length >= MAX_REMOTE_CANDIDATES) return undefined;
    const address = { ip: candidate.address, port: candidate.port };
    const remote: RemoteCandidate = { candidate, address, id: this.#nextId() };
    this.remotes.push(remote);
    return remote;
  }

  removeRemote(remote: RemoteCandidate): void {
    this.remotes.splice(this.remotes.indexOf(remote), 1);
  }

  removeBase(base: TransportAddress): void {
    const kept = this.locals.filter((local) => !sameAddress(local.base, base));
    this.locals.splice(0, this.locals.length, ...kept);
  }

  isHost(address: TransportAddress, protocol: IceTransport): boolean {
    return this.locals.some(
      ({ base, candidate: c }) => c.type === 'host' && c.protocol === protocol && sameAddress(base, address),
    );
  }

  hasBase(base: TransportAddress): boolean {
    return this.locals.some((local) => sameAddress(local.base, base));
  }

  findRemote(address: TransportAddress, protocol: IceTransport): RemoteCandidate | undefined {
    return this.remotes.find((r) => sameAddress(r.address, address) && r.candidate.protocol === protocol);
  }

  /** The host or relayed candidate with this base: what a pair's local candidate is (RFC 8445 §6.1.2.4). */
  findBase(path: FiveTuple): LocalCandidate | undefined {
    return this.locals.find((local) => local.protocol === path.protocol && sameAddress(local.base, path.local));
  }

  /** Whether a server-reflexive candidate with this base and address would be redundant (RFC 8445 §5.1.3). */
  isRedundant(base: TransportAddress, address: TransportAddress): boolean {
    const known = this.findLocal(base, address);
    return sameAddress(base, address) || (known !== undefined && known.candidate.type !== 'prflx');
  }

  removeLocal(local: LocalCandidate): void {
    const at = this.locals.indexOf(local);
    if (at >= 0) this.locals.splice(at, 1);
  }

  /**
   * RFC 8445 §7.3.1.3: the sender of a check, a peer-reflexive candidate where it is new. Its foundation is "an arbitrary
   * value, different from the foundations of all other remote candidates": `~` is no ice-char.
   * @returns undefined at the bound.
   */
  senderOf(
    address: TransportAddress,
    protocol: IceTransport,
    { priority, remoteUfrag: usernameFragment }: Pick<CheckRequest, 'priority' | 'remoteUfrag'>,
  ): RemoteCandidate | undefined {
    const known = this.findRemote(address, protocol);
    if (known !== undefined) return known;
    const foundation = `~${formatAddress(address)}`;
    const { ip, port } = address;
    // RFC 6544 §7.2: who connects to a passive candidate is active.
    const tcpType = protocol === 'tcp' ? 'active' : undefined;
    const type = 'prflx';
    return this.addRemote({
      foundation,
      component: 1,
      protocol,
      priority,
      address: ip,
      port,
      type,
      tcpType,
      usernameFragment,
    });
  }

  /**
   * RFC 8445 §7.2.5.3.1: the local candidate with the mapped address of a response, peer-reflexive where it is new.
   * @param local - the base that the check was sent from.
   * @param priority - the PRIORITY attribute of the check.
   */
  mappedOf(local: LocalCandidate, mapped: TransportAddress, priority: number, ufrag: string): LocalCandidate {
    const { base, protocol } = local;
    // First the base itself: behind an mDNS name its candidate has another `address`.
    if (sameAddress(base, mapped)) return local;
    const known = this.findLocal(base, mapped);
    if (known !== undefined) return known;
    const { component, protocol: transport, tcpType } = local.candidate;
    const candidate: IceCandidate = {
      foundation: `~${base.ip}`,
      component,
      protocol: transport,
      priority,
      address: mapped.ip,
      port: mapped.port,
      type: 'prflx',
      relatedAddress: base.ip,
      relatedPort: base.port,
      tcpType,
      usernameFragment: ufrag,
    };
    const prflx: LocalCandidate = { candidate, base, protocol, prflxPriority: priority, id: this.#nextId() };
    // A peer that reports another address each time makes no list grow: at the bound the candidate is its pair's alone.
    this.addLocal(prflx);
    return prflx;
  }

  findLocal(base: TransportAddress, address: TransportAddress): LocalCandidate | undefined {
    return this.locals.find(
      ({ base: b, candidate: c }) => sameAddress(b, base) && c.address === address.ip && c.port === address.port,
    );
  }
}
