import {
  type DropCounters,
  type FiveTuple,
  formatFiveTuple,
  type Instant,
  NEVER,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { isStun } from '../stun/index.ts';
import { AgentHost } from './agent-host.ts';
import type { IceCandidate } from './candidate.ts';
import { checkRemoteParameters, makeLocalParameters } from './credentials.ts';
import type { Generations } from './generations.ts';
import { MAX_PENDING_NAMES, MIN_TA_MS, TA_MS } from './limits.ts';
import type { LocalGathering } from './local-gathering.ts';
import { Outbox } from './outbox.ts';
import { Outcome } from './outcome.ts';
import { classifyRemote, RemoteNames } from './remote-names.ts';
import type { RoleKeeper } from './role.ts';
import type { IceSession } from './session.ts';
import { collectStats } from './stats.ts';
import { handleStun } from './stun-input.ts';
import type {
  HostCandidateOptions,
  IceAgentOptions,
  IceConnectionState,
  IceEvent,
  IceGatheringState,
  IceParameters,
  IceRole,
  IceStats,
  RelayedCandidateOptions,
  StunServerOptions,
  TcpReflexiveAddress,
} from './types.ts';

/**
 * An ICE agent for one data stream with one component (RFC 8445, trickle as in RFC 8838).
 *
 * It opens no sockets: tell it what is bound (`addHostCandidate`), hand it the datagrams that arrive, send what it
 * wants sent. Signal its `candidate` events and `localParameters`, give it the peer's, and wait for `selected-pair`.
 * Its generations of credentials are `IceSession`s; this class owns what outlives a restart.
 *
 * @example
 * const agent = new IceAgent({ env, role: 'controlling' });
 * agent.addHostCandidate({ ip: '192.0.2.1', port: 5000 }, now);
 * agent.endOfLocalCandidates(now);
 * agent.setRemoteParameters({ ufrag, pwd }, now);
 * agent.addRemoteCandidate(parseCandidate(line), now);
 */
export class IceAgent implements SansIo<IceEvent, FiveTuple> {
  readonly drops: DropCounters;
  readonly #host: AgentHost;
  readonly #gathering: LocalGathering;
  readonly #names: RemoteNames = new RemoteNames(MAX_PENDING_NAMES);
  readonly #outbox: Outbox;
  readonly #role: RoleKeeper;
  readonly #generations: Generations;
  readonly #outcome: Outcome;
  #nextTimeout: Instant = NEVER;
  /** Something changed since datagrams were last asked for. */
  #changed = true;
  #closed = false;

  /** @throws {UsageError} for credentials or a Ta outside their bounds. */
  constructor(options: IceAgentOptions) {
    const taMs = options.taMs ?? TA_MS;
    if (!(taMs >= MIN_TA_MS)) throw new UsageError(`Ta is at least ${MIN_TA_MS} ms (RFC 8445 §14.2)`);
    this.#outbox = new Outbox(options.env.trace);
    this.drops = this.#outbox.drops;
    this.#host = new AgentHost(options, this.#outbox);
    this.#role = this.#host.roles;
    this.#generations = this.#host.generations;
    this.#gathering = this.#host.localGathering;
    this.#outcome = new Outcome({
      trace: options.env.trace,
      generations: this.#generations,
      gathering: this.#gathering,
      disconnectedMs: this.#host.disconnectedMs,
      emit: (event) => this.#outbox.emit(event),
    });
  }

  // ---------------------------------------------------------------- what it is

  /** Our credentials of the current generation. */
  get localParameters(): IceParameters {
    return this.#session.local;
  }

  /** The ufrags that checks may name: ours, and during a restart the one before. For who shares a socket among agents. */
  get localUfrags(): readonly string[] {
    return this.#generations.all.map(({ local }) => local.ufrag);
  }

  get remoteParameters(): IceParameters | undefined {
    return this.#session.remote;
  }

  get role(): IceRole {
    return this.#role.role;
  }

  get gatheringState(): IceGatheringState {
    return this.#gathering.state;
  }

  get connectionState(): IceConnectionState {
    return this.#outcome.state;
  }

  /** Where data goes; undefined while no pair is usable. The same object for as long as the pair is selected. */
  get selectedPath(): FiveTuple | undefined {
    return this.#outcome.selected?.path;
  }

  /** True for a path over which the peer has proved itself: data from elsewhere is to be dropped (RFC 8445 §12.2). */
  acceptsData(path: FiveTuple): boolean {
    return !this.#closed && this.#generations.acceptsData(path);
  }

  stats(): IceStats {
    return collectStats(this.#generations.all, {
      role: this.role,
      state: this.#outcome.state,
      selectedChanges: this.#outcome.selectedChanges,
      selectedPairId: this.#outcome.selected?.id,
    });
  }

  // ---------------------------------------------------------------- commands

  /** The role the descriptions give (RFC 8445 §6.1.1). A conflict repairs itself. */
  setRole(role: IceRole): void {
    if (role === this.role) return;
    this.#role.role = role;
    this.#session.roleChanged();
    this.#changed = true;
  }

  /**
   * The peer's credentials: checks begin. Other ones than before need a `restart` first.
   * @throws {UsageError} for credentials whose length is outside RFC 8839 §5.4, or a second pair of them in one generation.
   */
  setRemoteParameters(parameters: IceParameters, now: Instant): void {
    checkRemoteParameters(parameters);
    const known = this.#session.remote;
    if (known !== undefined) {
      if (known.ufrag === parameters.ufrag && known.pwd === parameters.pwd) return;
      throw new UsageError('new credentials of the peer are an ICE restart: call restart first (RFC 8445 §9)');
    }
    this.#requireOpen();
    this.#settleRole(parameters.lite === true);
    this.#session.setRemote(parameters, now);
    this.#refresh(now);
  }

  /**
   * A bound socket (RFC 8445 §5.1.1.1), or with `tcpType` a place for TCP connections (RFC 6544 §5.1): the address that
   * listens (`passive`, `so`), or for `active` the interface's address with port 9, the discard port that stands for "any".
   * A datagram for a path with such a `local` is to be sent over a connection, opened when the first one comes; what the
   * connection brings is handed in with that same path, each datagram framed as RFC 4571 says. One that makes no candidate
   * (§5.1.1.1's address rules) is ignored.
   */
  addHostCandidate(base: TransportAddress, now: Instant, options: HostCandidateOptions = {}): void {
    this.#requireOpen();
    this.#gathering.addHost(base, options);
    this.#refresh(now);
  }

  /** Asks the server for the mapped address of every UDP base of its family (RFC 8445 §5.1.1.2). */
  addStunServer(server: TransportAddress, now: Instant, options: StunServerOptions = {}): void {
    this.#requireOpen();
    this.#gathering.addServer(server, options);
    this.#refresh(now);
  }

  /** From the next generation on the server is not asked (RFC 9429 §4.1.18). Does nothing for one that was not added. */
  removeStunServer(server: TransportAddress): void {
    this.#requireOpen();
    this.#gathering.removeServer(server);
  }

  /**
   * A mapped address of a TCP base that was added before (RFC 6544 §5.2). The connection to the STUN server that it was
   * learned over keeps the NAT's binding, and is the caller's.
   */
  addTcpReflexiveCandidate(base: TransportAddress, learned: TcpReflexiveAddress, now: Instant): void {
    this.#requireOpen();
    this.#gathering.addTcpReflexive(base, learned);
    this.#refresh(now);
  }

  /** An allocation of a TURN client (RFC 8445 §5.1.1.2): datagrams with `path.local` = `relayed` go through it. */
  addRelayedCandidate(
    relayed: TransportAddress,
    relatedAddress: TransportAddress,
    options: RelayedCandidateOptions,
    now: Instant,
  ): void {
    this.#requireOpen();
    this.#gathering.addRelayed(relayed, relatedAddress, options);
    this.#refresh(now);
  }

  /**
   * A base is gone (its interface vanished, its allocation expired): its pairs fail at once, and it is left out of later
   * generations. Its candidate has been signalled and stays so.
   */
  removeLocalBase(base: TransportAddress, now: Instant): void {
    this.#gathering.removeBase(base);
    for (const session of this.#generations.all) session.removeBase(base);
    this.#refresh(now);
  }

  /**
   * A base is not wanted any more (its server has left the list, RFC 9429 §4.1.18): no later generation announces it. Those
   * of before go on with it; `base-unused` follows when there are none left, or at once.
   */
  withdrawBase(base: TransportAddress, now: Instant): void {
    this.#gathering.withdrawBase(base);
    this.#refresh(now);
  }

  /**
   * A path is dead for certain: its TCP connection was refused or closed (RFC 6544 §7). Its pair fails at once. Not for
   * ICMP errors, which anybody can forge (RFC 8445 §7.2.5.2.2).
   */
  notePathClosed(path: FiveTuple, now: Instant): void {
    for (const session of this.#generations.all) session.pathClosed(formatFiveTuple(path));
    this.#refresh(now);
  }

  /** No more bases or servers will be added: gathering is complete when the transactions are. */
  endOfLocalCandidates(now: Instant): void {
    this.#gathering.end();
    this.#refresh(now);
  }

  /**
   * A candidate of the peer, before or after its credentials. One that this agent cannot use is a counted drop; one
   * whose `usernameFragment` names another generation is `stale`. One that comes behind `endOfRemoteCandidates` is used,
   * against RFC 8838 §14: browsers do, and signalling may let the end overtake it.
   */
  addRemoteCandidate(candidate: IceCandidate, now: Instant): void {
    if (this.#closed) return;
    const remote = classifyRemote(candidate);
    if (remote.kind === 'address') this.#session.addRemote(remote.candidate);
    else if (remote.kind === 'refused') this.#outbox.drop(remote.reason, remote.detail);
    else {
      const outcome = this.#names.add(candidate);
      if (outcome === 'ask') this.#outbox.emit({ type: 'resolve', hostname: candidate.address });
      else if (outcome === 'full') this.#outbox.drop('limit', 'unresolved names');
    }
    this.#refresh(now);
  }

  /** The answer to a `resolve` event. No address, or more than one, costs that name's candidates. */
  addResolved(hostname: string, addresses: readonly string[], now: Instant): void {
    for (const candidate of this.#names.resolve(hostname, addresses)) this.addRemoteCandidate(candidate, now);
    this.#refresh(now);
  }

  /** The peer's end-of-candidates (RFC 8838 §14). */
  endOfRemoteCandidates(now: Instant): void {
    this.#session.selection.remoteEnded = true;
    this.#refresh(now);
  }

  /**
   * ICE restart (RFC 8445 §9): new credentials, all bases announced and all servers asked again; then
   * `endOfLocalCandidates` is due once more, and the peer's new parameters. Data keeps flowing over the old pair until
   * the new generation has one.
   */
  restart(now: Instant, parameters: { readonly ufrag?: string; readonly pwd?: string } = {}): void {
    this.#requireOpen();
    this.#generations.restart(makeLocalParameters(this.#host.env, parameters));
    this.#role.begin();
    this.#names.clear();
    this.#gathering.begin();
    this.#refresh(now);
  }

  /** Of the current generation (W3C iceTransportPolicy). */
  get policy(): 'all' | 'relay' {
    return this.#gathering.policy;
  }

  /** Applies to the first generation if nothing has been gathered, else from the next restart on (RFC 9429 §4.1.18). */
  setPolicy(policy: 'all' | 'relay'): void {
    this.#gathering.setPolicy(policy);
  }

  /**
   * Takes back a `restart` whose description was rolled back (JSEP): the generation before it goes on as it was.
   * @throws {UsageError} when there is none, or the peer has answered already.
   */
  rollbackRestart(now: Instant): void {
    this.#generations.rollback();
    this.#gathering.end();
    this.#refresh(now);
  }

  /** Stops everything; nothing is sent, answered or armed any more. Idempotent. */
  close(_now: Instant): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#generations.stop();
    this.#gathering.gatherer.reset();
    this.#names.clear();
    this.#outbox.clearDatagrams();
    this.#nextTimeout = NEVER;
    this.#outcome.end();
  }

  /** For statistics: data of ours went over `path`. */
  noteDataSent(path: FiveTuple, bytes: number, now?: Instant): void {
    this.#generations.pairOf(path)?.noteSent(bytes, now);
  }

  /** For statistics, and a sign of life of the path when `now` is given. */
  noteDataReceived(path: FiveTuple, bytes: number, now?: Instant): void {
    this.#generations.pairOf(path)?.noteReceived(bytes, now);
    if (this.#outcome.state === 'disconnected') this.#changed = true;
  }

  // ---------------------------------------------------------------- SansIo

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (this.#closed) {
      this.#outbox.drop('closed', 'datagram');
      return;
    }
    if (isStun(bytes)) handleStun(this.#host, bytes, path, now);
    else if (this.acceptsData(path)) {
      this.noteDataReceived(path, bytes.length, now);
      this.#outbox.emit({ type: 'data', bytes, path });
    } else this.#outbox.drop('unknown-path', 'data');
    this.#refresh(now);
  }

  handleTimeout(now: Instant): void {
    if (this.#closed || now < this.#nextTimeout) return;
    for (const session of this.#generations.all) session.handleTimeout(now);
    this.#gathering.handleTimeout(now);
    this.#refresh(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    if (this.#closed) return false;
    // The quick way out: this runs after every datagram of the layers above.
    if (!this.#outbox.hasDatagrams && (this.#changed || now >= this.#nextTimeout)) {
      for (const session of this.#generations.all) session.pump(now);
      this.#gathering.pump(now);
      this.#refresh(now);
      this.#changed = false;
    }
    return this.#outbox.takeDatagram(slot);
  }

  pollEvent(): IceEvent | undefined {
    return this.#outbox.takeEvent();
  }

  nextTimeout(): Instant {
    return this.#nextTimeout;
  }

  /** RFC 8445 §6.1.1: of a full agent and a lite one the full one is controlling, whatever the descriptions say. */
  #settleRole(remoteIsLite: boolean): void {
    const role = this.#host.lite ? 'controlled' : 'controlling';
    if (this.#host.lite === remoteIsLite || role === this.role) return;
    this.setRole(role);
    this.#outbox.emit({ type: 'role', role });
  }

  get #session(): IceSession {
    return this.#generations.current;
  }

  // ---------------------------------------------------------------- what follows from a change

  /** After everything that may have changed something: selection, states, timer. */
  #refresh(now: Instant): void {
    if (this.#closed) return;
    this.#outcome.update(now);
    for (const base of this.#gathering.takeUnused(this.#generations)) this.#outbox.emit({ type: 'base-unused', base });
    if (this.#session.selection.nominated !== undefined) this.#gathering.gatherer.stopKeepalives();
    this.#nextTimeout = this.#gathering.gatherer.nextTimeout();
    this.#nextTimeout = Math.min(this.#nextTimeout, this.#generations.nextTimeout());
    this.#changed = true;
    if (!this.#session.failed && this.#session.pacDeadline > now) {
      this.#nextTimeout = Math.min(this.#nextTimeout, this.#session.pacDeadline);
    }
  }

  #requireOpen(): void {
    if (this.#closed) throw new UsageError('the ICE agent is closed');
  }
}
