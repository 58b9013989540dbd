import {
  DropCounters,
  type Env,
  type FiveTuple,
  type Instant,
  NEVER,
  Ring,
  type SansIo,
  sameAddress,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import { BEHAVIOUR_SCHEDULE } from './behaviour.ts';
import { StunClient, type StunClientEvent } from './client.ts';
import type { ScheduleOptions } from './schedule.ts';

/** The first silence that is tried, and how close to the lifetime the last ones come. */
export const LIFETIME_STEP_MS = 15_000;

/** Longer silences are not tried: what a NAT keeps for so long needs no more to be known about it. */
export const MAX_LIFETIME_PROBE_MS = 300_000;

export interface BindingLifetimeOptions {
  readonly env: Env;
  /** Port X: our socket, by its real address, and the server's primary address. Nothing else may use the socket. */
  readonly path: FiveTuple;
  /** Default {@link LIFETIME_STEP_MS}. */
  readonly stepMs?: number;
  /** Default {@link MAX_LIFETIME_PROBE_MS}. */
  readonly maxMs?: number;
  /** Of each request. Default `BEHAVIOUR_SCHEDULE`: silence costs 7.5 s. */
  readonly schedule?: ScheduleOptions;
}

export type BindingLifetimeEvent =
  /** One silence, and whether the binding outlived it. */
  | { readonly type: 'probe'; readonly silenceMs: number; readonly alive: boolean }
  | {
      readonly type: 'result';
      /** The longest silence that the binding has outlived, 0 for none. */
      readonly aliveMs: number;
      /** The shortest that it has not; undefined where it has outlived all. */
      readonly expiredMs: number | undefined;
    }
  | {
      readonly type: 'failed';
      /** `no-nat`: there is no binding to expire. `unsupported`: the server does not answer to other ports. */
      readonly reason: 'no-udp' | 'no-nat' | 'unsupported';
    };

type Step = 'new' | 'refresh' | 'silence' | 'probe' | 'done';

/**
 * How long a NAT keeps a binding that is not used (RFC 5780 §4.6). With two ports, X and Y:
 *
 * ```text
 * refresh   from X                          → the binding is fresh: its public port Pp
 * silence   nothing from X for T
 * probe     from Y, with RESPONSE-PORT Pp   → an answer at X: the binding lives; at Y, or none: it has expired
 * ```
 *
 * T is 0 first, which shows whether the server can do this at all; then it doubles until the binding has expired, and
 * halves the distance between the longest T that it outlived and the shortest that it did not. That takes minutes.
 */
export class BindingLifetime implements SansIo<BindingLifetimeEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly #options: BindingLifetimeOptions;
  readonly #stepMs: number;
  readonly #maxMs: number;
  readonly #events = new Ring<BindingLifetimeEvent>();
  /** Y. */
  #other: TransportAddress | undefined;
  #step: Step = 'new';
  #client: StunClient | undefined;
  #answeredAt: TransportAddress | undefined;
  #mapped: TransportAddress | undefined;
  #probeAt: Instant = NEVER;
  #silenceMs = 0;
  #aliveMs = 0;
  #expiredMs: number | undefined;

  constructor(options: BindingLifetimeOptions) {
    this.#options = options;
    this.#stepMs = options.stepMs ?? LIFETIME_STEP_MS;
    this.#maxMs = options.maxMs ?? MAX_LIFETIME_PROBE_MS;
  }

  /** Begins. @param other - port Y: a second socket on the same IP address. @throws {UsageError} when it has begun. */
  start(other: TransportAddress, now: Instant): void {
    if (this.#step !== 'new') throw new UsageError('the discovery of a lifetime begins once');
    this.#other = other;
    this.#refresh(now);
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (this.#client === undefined) {
      this.drops.count('closed');
      return;
    }
    this.#answeredAt = path.local;
    this.#client.handleInput(bytes, path, now);
    this.#advance(now);
  }

  handleTimeout(now: Instant): void {
    this.#client?.handleTimeout(now);
    this.#advance(now);
    if (this.#probeAt <= now) this.#probe(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    return this.#client?.pollTransmit(slot) ?? false;
  }

  pollEvent(): BindingLifetimeEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return Math.min(this.#probeAt, this.#client?.nextTimeout() ?? NEVER);
  }

  #refresh(now: Instant): void {
    this.#step = 'refresh';
    this.#client = this.#ask(this.#options.path.local, undefined, now);
  }

  #probe(now: Instant): void {
    this.#probeAt = NEVER;
    this.#step = 'probe';
    if (this.#other !== undefined) this.#client = this.#ask(this.#other, this.#mapped?.port, now);
  }

  #ask(local: TransportAddress, responsePort: number | undefined, now: Instant): StunClient {
    const { env, path, schedule = BEHAVIOUR_SCHEDULE } = this.#options;
    const asked = { env, path: { protocol: 'udp', local, remote: path.remote }, schedule } as const;
    return new StunClient(responsePort === undefined ? asked : { ...asked, responsePort }, now);
  }

  #advance(now: Instant): void {
    const event = this.#client?.pollEvent();
    if (event === undefined) return;
    this.#client = undefined;
    if (this.#step === 'refresh') this.#handleRefreshed(event, now);
    else this.#handleProbed(event, now);
  }

  #handleRefreshed(event: StunClientEvent, now: Instant): void {
    const { local } = this.#options.path;
    if (event.type !== 'mapped') this.#end({ type: 'failed', reason: 'no-udp' });
    else if (sameAddress(event.address, local)) this.#end({ type: 'failed', reason: 'no-nat' });
    else if (event.otherAddress === undefined) this.#end({ type: 'failed', reason: 'unsupported' });
    else {
      this.#mapped = event.address;
      this.#step = 'silence';
      this.#probeAt = now + this.#silenceMs;
    }
  }

  #handleProbed(event: StunClientEvent, now: Instant): void {
    const { path } = this.#options;
    const at = this.#answeredAt;
    const alive = event.type === 'mapped' && at !== undefined && sameAddress(at, path.local);
    const refused = event.type === 'failed' && event.reason !== 'timeout';
    if (refused || (this.#silenceMs === 0 && !alive)) {
      this.#end({ type: 'failed', reason: 'unsupported' });
      return;
    }
    if (this.#silenceMs > 0) this.#events.push({ type: 'probe', silenceMs: this.#silenceMs, alive });
    if (alive) this.#aliveMs = this.#silenceMs;
    else this.#expiredMs = this.#silenceMs;
    const next = this.#nextSilenceMs();
    if (next === undefined) {
      this.#end({ type: 'result', aliveMs: this.#aliveMs, expiredMs: this.#expiredMs });
      return;
    }
    this.#silenceMs = next;
    this.#refresh(now);
  }

  /** Undefined when enough is known. */
  #nextSilenceMs(): number | undefined {
    const [alive, expired] = [this.#aliveMs, this.#expiredMs];
    if (expired === undefined) {
      return alive >= this.#maxMs ? undefined : Math.min(Math.max(alive * 2, this.#stepMs), this.#maxMs);
    }
    return expired - alive <= this.#stepMs ? undefined : (alive + expired) / 2;
  }

  #end(event: BindingLifetimeEvent): void {
    this.#options.env.trace.state('stun', this.#step, 'done', 'binding lifetime');
    this.#step = 'done';
    this.#events.push(event);
  }
}

/** The end of it in words that a person understands. */
export function describeBindingLifetime(event: Exclude<BindingLifetimeEvent, { readonly type: 'probe' }>): string {
  if (event.type === 'failed') return FAILURE_WORDS[event.reason];
  const [alive, expired] = [event.aliveMs, event.expiredMs].map((ms) => ms && Math.round(ms / 1000));
  if (expired === undefined) return `The NAT keeps a public address that is not used for ${alive} s and more.`;
  if (alive === 0) return `The NAT forgets a public address that is not used for ${expired} s.`;
  return `The NAT keeps a public address that is not used for ${alive} s, and has forgotten it after ${expired} s.`;
}

const FAILURE_WORDS: Readonly<Record<'no-udp' | 'no-nat' | 'unsupported', string>> = {
  'no-udp': 'The server does not answer: how long the NAT keeps an address cannot be found out.',
  'no-nat': 'There is no address translation, and nothing that could expire.',
  unsupported: 'The server cannot tell how long the NAT keeps an address.',
};
