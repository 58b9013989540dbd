import type { Instant, Trace } from '../core/index.ts';
import { deriveConnectionState } from './connection-state.ts';
import type { Generations } from './generations.ts';
import type { LocalGathering } from './local-gathering.ts';
import { isAlive } from './nomination.ts';
import type { CandidatePair } from './pair.ts';
import type { IceConnectionState, IceEvent } from './types.ts';

/** What the outcome follows from, and whom it is told. */
export interface OutcomeHost {
  readonly trace: Trace;
  readonly generations: Generations;
  readonly gathering: LocalGathering;
  readonly disconnectedMs: number;
  emit(event: IceEvent): void;
}

/** How it goes: the pair in use, and the connection state that the W3C derives from everything. */
export class Outcome {
  readonly #host: OutcomeHost;
  #state: IceConnectionState = 'new';
  #selected: CandidatePair | undefined;
  #selectedChanges = 0;

  constructor(host: OutcomeHost) {
    this.#host = host;
  }

  get state(): IceConnectionState {
    return this.#state;
  }

  get selected(): CandidatePair | undefined {
    return this.#selected;
  }

  get selectedChanges(): number {
    return this.#selectedChanges;
  }

  /** After everything that may have changed it. */
  update(now: Instant): void {
    const { generations, gathering } = this.#host;
    generations.select(now);
    this.#select(generations.selected);
    gathering.refresh();
    this.#judge(now);
    this.#setState(this.#derive(now), 'refresh');
  }

  /** The agent is closed. */
  end(): void {
    this.#selected = undefined;
    this.#setState('closed', 'close');
  }

  #select(pair: CandidatePair | undefined): void {
    if (pair === this.#selected) return;
    this.#selected = pair;
    this.#selectedChanges++;
    const local = (pair?.validLocal ?? pair?.local)?.candidate;
    const remote = pair?.remote.candidate;
    const selected = pair && local && remote ? { local, remote, nominated: pair.nominated } : undefined;
    this.#host.emit({ type: 'selected-pair', path: pair?.path, pair: selected });
  }

  /** RFC 8445 §7.2.5.4 with RFC 8838 §8 and RFC 8863 §4: the verdict that this generation has failed. */
  #judge(now: Instant): void {
    const { generations, gathering } = this.#host;
    const session = generations.current;
    if (session.failed || this.#selected !== undefined || now < session.pacDeadline) return;
    // The PAC timer also stands in for an end-of-candidates that never comes (RFC 8863 §5).
    if (session.pending || !gathering.gatherer.idle) return;
    generations.stop();
  }

  #derive(now: Instant): IceConnectionState {
    const { generations, gathering, disconnectedMs } = this.#host;
    const session = generations.current;
    const selected = this.#selected;
    return deriveConnectionState({
      closed: false,
      begun: this.#state !== 'new',
      failed: session.failed,
      hasSelected: selected !== undefined,
      alive: selected !== undefined && isAlive(selected, now, disconnectedMs),
      ofPrevious: selected !== session.selection.selected,
      nominated: session.selection.nominated !== undefined && session.selection.nominated === selected,
      pending: session.pending,
      hasRemote: session.book.remotes.length > 0,
      hasPairs: session.checklist.pairs.length > 0,
      gathered: gathering.state === 'complete',
      remoteEnded: session.selection.remoteEnded,
    });
  }

  #setState(state: IceConnectionState, why: string): void {
    if (state === this.#state) return;
    this.#host.trace.state('ice', this.#state, state, why);
    this.#state = state;
    this.#host.emit({ type: 'connection-state', state });
  }
}
