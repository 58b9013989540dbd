import type { DropReason, Env, FiveTuple, Instant } from '../core/index.ts';
import type { StunMessage } from '../stun/index.ts';
import { makeLocalParameters } from './credentials.ts';
import type { Gatherer, GatheringTask } from './gathering.ts';
import { Generations } from './generations.ts';
import { DISCONNECTED_MS, MAX_PAIRS, PAC_TIMEOUT_MS, TA_MS } from './limits.ts';
import { type GatheringHost, LocalGathering } from './local-gathering.ts';
import type { Outbox } from './outbox.ts';
import { RoleKeeper } from './role.ts';
import type { IceSession, SessionHost } from './session.ts';
import type { StunInputHost } from './stun-input.ts';
import type { IceAgentOptions, IceEvent, IceRole } from './types.ts';

/**
 * What the rooms of an agent need of it and of each other; each sees no more than its own interface.
 *
 * A class, not object literals with getters: V8 gives every such literal a hidden class of its own, which makes all access
 * slow, and whose getters keep a closed agent and all that hangs on it in memory until the next full collection.
 */
export class AgentHost implements SessionHost, GatheringHost, StunInputHost {
  readonly env: Env;
  readonly taMs: number;
  readonly lite: boolean;
  readonly maxPairs: number;
  readonly pacTimeoutMs: number;
  readonly disconnectedMs: number;
  readonly useValidPairs: boolean;
  readonly roles: RoleKeeper;
  readonly generations: Generations;
  readonly localGathering: LocalGathering;
  readonly #outbox: Outbox;
  #nextId = 1;

  /** @throws {UsageError} for credentials outside their bounds. */
  constructor(options: IceAgentOptions, outbox: Outbox) {
    this.env = options.env;
    this.taMs = options.taMs ?? TA_MS;
    this.lite = options.lite ?? false;
    this.maxPairs = options.maxPairs ?? MAX_PAIRS;
    this.pacTimeoutMs = options.pacTimeoutMs ?? PAC_TIMEOUT_MS;
    this.disconnectedMs = options.disconnectedMs ?? DISCONNECTED_MS;
    this.useValidPairs = options.useValidPairs ?? true;
    this.#outbox = outbox;
    this.roles = new RoleKeeper(options.env, options.role, outbox);
    this.generations = new Generations(this, makeLocalParameters(options.env, options));
    this.localGathering = new LocalGathering(this, options.policy ?? 'all');
  }

  get role(): IceRole {
    return this.roles.role;
  }

  get tieBreaker(): bigint {
    return this.roles.tieBreaker;
  }

  get gathering(): boolean {
    return this.localGathering.state !== 'complete';
  }

  get relayOnly(): boolean {
    return this.localGathering.policy === 'relay';
  }

  get session(): IceSession {
    return this.generations.current;
  }

  get sessions(): readonly IceSession[] {
    return this.generations.all;
  }

  get gatherer(): Gatherer {
    return this.localGathering.gatherer;
  }

  nextId(): number {
    return this.#nextId++;
  }

  send(bytes: Uint8Array, path: FiveTuple): void {
    this.#outbox.send(bytes, path);
  }

  drop(reason: DropReason, detail: string): void {
    this.#outbox.drop(reason, detail);
  }

  emit(event: IceEvent): void {
    this.#outbox.emit(event);
  }

  switchRole(role: IceRole, newTieBreaker: boolean): boolean {
    return this.roles.switch(role, newTieBreaker);
  }

  gathered(task: GatheringTask, response: StunMessage, now: Instant): void {
    this.localGathering.answered(task, response, now);
  }
}
