import {
  DecodeError,
  type Env,
  type FiveTuple,
  formatAddress,
  type Instant,
  sameAddress,
  type TransportAddress,
} from '../core/index.ts';
import type { StunMessage } from '../stun/index.ts';
import { encodeGatheringRequest } from './binding.ts';
import { isUsableHostAddress, type LocalCandidate } from './candidate.ts';
import { Gatherer, type GatheringTask } from './gathering.ts';
import { LocalCandidateFactory } from './local-candidates.ts';
import type { IceSession } from './session.ts';
import type {
  HostCandidateOptions,
  IceEvent,
  IceGatheringState,
  RelayedCandidateOptions,
  StunServerOptions,
  TcpReflexiveAddress,
} from './types.ts';

/** A base that a restart announces again. */
type Base =
  | { readonly kind: 'host'; readonly address: TransportAddress; readonly options: HostCandidateOptions }
  | {
      readonly kind: 'relay';
      readonly address: TransportAddress;
      readonly related: TransportAddress;
      readonly options: RelayedCandidateOptions;
    }
  /** Over TCP the composer asks the STUN server itself: it has the connection. */
  | { readonly kind: 'reflexive'; readonly address: TransportAddress; readonly learned: TcpReflexiveAddress };

/** What gathering needs of its agent. */
export interface GatheringHost {
  readonly env: Env;
  readonly taMs: number;
  /** The current generation. */
  readonly session: IceSession;
  nextId(): number;
  send(bytes: Uint8Array, path: FiveTuple): void;
  drop(reason: 'limit' | 'bad-value', detail: string): void;
  emit(event: IceEvent): void;
}

/**
 * Our side of the candidates (RFC 8445 §5.1.1): which bases there are, what STUN servers say about them, when it is
 * complete. Outlives restarts: `begin` announces every base again in the new generation.
 */
export class LocalGathering {
  readonly #host: GatheringHost;
  readonly #factory: LocalCandidateFactory;
  readonly #bases: Base[] = [];
  /** Bases that no later generation announces, and one of before may still use. */
  #withdrawn: TransportAddress[] = [];
  readonly gatherer: Gatherer;
  #ended = false;
  #state: IceGatheringState = 'new';
  #policy: 'all' | 'relay';
  /** From the next generation on. */
  #nextPolicy: 'all' | 'relay';

  constructor(host: GatheringHost, policy: 'all' | 'relay') {
    this.#host = host;
    this.#policy = policy;
    this.#nextPolicy = policy;
    this.#factory = new LocalCandidateFactory(() => host.nextId());
    this.gatherer = new Gatherer(host.taMs, () => host.drop('limit', 'requests to STUN servers'));
  }

  get state(): IceGatheringState {
    return this.#state;
  }

  /** Of the current generation. */
  get policy(): 'all' | 'relay' {
    return this.#policy;
  }

  /** RFC 9429 §4.1.18: "no action will be taken until the next gathering phase". */
  setPolicy(policy: 'all' | 'relay'): void {
    this.#nextPolicy = policy;
    if (this.#state === 'new') this.#policy = policy;
  }

  /** A new generation. */
  begin(): void {
    this.#policy = this.#nextPolicy;
    this.gatherer.reset();
    this.#ended = false;
    for (const base of this.#bases) this.#announce(base);
  }

  end(): void {
    this.#ended = true;
  }

  addHost(address: TransportAddress, options: HostCandidateOptions): void {
    if (!isUsableHostAddress(address.ip)) this.#host.drop('bad-value', 'host address');
    else this.#add({ kind: 'host', address, options });
  }

  addRelayed(address: TransportAddress, related: TransportAddress, options: RelayedCandidateOptions): void {
    this.#add({ kind: 'relay', address, related, options });
  }

  addTcpReflexive(address: TransportAddress, learned: TcpReflexiveAddress): void {
    this.#add({ kind: 'reflexive', address, learned });
  }

  addServer(address: TransportAddress, options: StunServerOptions): void {
    if (!this.gatherer.addServer({ address, url: options.url })) this.#host.drop('limit', 'STUN servers');
  }

  removeServer(address: TransportAddress): void {
    this.gatherer.removeServer(address);
    this.#forget((base) => base.kind === 'reflexive' && sameAddress(base.learned.server, address));
  }

  removeBase(address: TransportAddress): void {
    this.#forget((base) => sameAddress(base.address, address));
    this.#withdrawn = this.#withdrawn.filter((other) => !sameAddress(other, address));
    this.gatherer.removeHost(address);
  }

  /** The next generation does not announce the base. */
  withdrawBase(address: TransportAddress): void {
    if (this.#forget((base) => sameAddress(base.address, address))) this.#withdrawn.push(address);
  }

  /** Withdrawn bases that none of the generations uses any more; each is told once. */
  takeUnused(generations: { readonly all: readonly IceSession[] }): readonly TransportAddress[] {
    if (this.#withdrawn.length === 0) return [];
    const isUsed = (address: TransportAddress): boolean => generations.all.some(({ book }) => book.hasBase(address));
    const unused = this.#withdrawn.filter((address) => !isUsed(address));
    if (unused.length > 0) this.#withdrawn = this.#withdrawn.filter(isUsed);
    return unused;
  }

  /** @returns whether there was one. */
  #forget(isOver: (base: Base) => boolean): boolean {
    const kept = this.#bases.filter((base) => !isOver(base));
    const some = kept.length < this.#bases.length;
    if (some) this.#bases.splice(0, this.#bases.length, ...kept);
    return some;
  }

  /** Sends the next request to a STUN server, if it is due. */
  pump(now: Instant): void {
    const task = this.gatherer.next(now);
    if (task === undefined) return;
    const { id, bytes } = encodeGatheringRequest(this.#host.env);
    this.gatherer.sent(id, bytes, task, now);
    this.#host.send(bytes, task.path);
  }

  handleTimeout(now: Instant): void {
    const { requests } = this.gatherer;
    for (let due = requests.due(now); due !== undefined; due = requests.due(now)) {
      const { request, resend } = due;
      if (resend) this.#host.send(request.bytes, request.path);
      else if (!request.context.keepalive) this.#serverError(request.context, NO_ANSWER, 'no answer');
    }
  }

  /** A STUN server answered (RFC 8445 §5.1.1.2). @throws {DecodeError} when the answer lacks what it must have. */
  answered(task: GatheringTask, response: StunMessage, now: Instant): void {
    if (task.keepalive) return;
    try {
      this.#learn(task, response, now);
    } catch (error) {
      this.#serverError(task, NO_ANSWER, 'no usable answer');
      throw error;
    }
  }

  #learn(task: GatheringTask, response: StunMessage, now: Instant): void {
    // RFC 8489 §6.3.3, §6.3.4: "the transaction is considered to have failed".
    if (response.unknownRequired().length > 0) throw new DecodeError('unsupported', 'attribute', 0);
    if (response.messageClass === 'error') {
      const { code, reason } = response.require('ERROR-CODE');
      this.#serverError(task, code, reason);
      return;
    }
    const mapped = response.get('XOR-MAPPED-ADDRESS') ?? response.require('MAPPED-ADDRESS');
    const { host, server } = task;
    this.gatherer.keepAlive(task, now);
    // RFC 8445 §5.1.3: redundant with its base, or with what another server has found.
    if (this.#host.session.book.isRedundant(host.base, mapped)) return;
    this.#publish(this.#factory.serverReflexive(host, mapped, formatAddress(server.address), server.url));
  }

  /** Recomputes the state and reports a change. */
  refresh(): void {
    const started = this.#bases.length > 0 || this.#ended || this.#state !== 'new';
    const complete = this.#ended && this.gatherer.idle;
    const state = complete ? 'complete' : started ? 'gathering' : 'new';
    if (state === this.#state) return;
    // W3C: from new to complete only by way of gathering.
    if (this.#state === 'new' && complete) this.#host.emit({ type: 'gathering-state', state: 'gathering' });
    this.#state = state;
    this.#host.emit({ type: 'gathering-state', state });
  }

  #add(base: Base): void {
    if (this.#announce(base)) this.#bases.push(base);
  }

  /** False: nothing comes of it, now or later. */
  #announce(base: Base): boolean {
    const { ufrag } = this.#host.session.local;
    if (base.kind === 'relay') {
      // RFC 8445 §5.1.1.2: one identical to a host candidate, "which can happen in rare cases … MUST be discarded".
      if (this.#host.session.book.isHost(base.address, base.options.tcpType === undefined ? 'udp' : 'tcp')) {
        this.#host.drop('bad-value', 'relayed candidate that is a host candidate');
        return false;
      }
      return this.#publish(this.#factory.relayed(base.address, base.related, base.options, ufrag));
    }
    if (this.#policy === 'relay') return true; // kept for a generation under another policy
    if (base.kind === 'reflexive') return this.#announceReflexive(base.address, base.learned);
    const host = this.#factory.host(base.address, base.options, ufrag);
    if (!this.#publish(host)) return false;
    this.gatherer.addHost(host);
    return true;
  }

  #announceReflexive(address: TransportAddress, { mapped, server, url }: TcpReflexiveAddress): boolean {
    const { book } = this.#host.session;
    const host = book.findBase({ protocol: 'tcp', local: address, remote: server });
    if (host === undefined || book.isRedundant(address, mapped)) return false;
    return this.#publish(this.#factory.serverReflexive(host, mapped, formatAddress(server), url));
  }

  #publish(local: LocalCandidate): boolean {
    if (!this.#host.session.addLocal(local)) {
      this.#host.drop('limit', 'local candidates');
      return false;
    }
    this.#host.emit({ type: 'candidate', candidate: local.candidate });
    return true;
  }

  #serverError(task: GatheringTask, code: number, reason: string): void {
    const { address: server, url } = task.server;
    this.#host.emit({ type: 'server-error', server, base: task.host.base, url, code, reason });
  }
}

/** W3C RTCPeerConnectionIceErrorEvent: "701 … the server could not be reached". */
const NO_ANSWER = 701;
