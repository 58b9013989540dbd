import type { Instant } from '../../src/core/index.ts';
import type { SeededRandom } from './random.ts';
import type { SimWorld } from './world.ts';

/** One direction of a link. Probabilities are per datagram. */
export interface LinkOptions {
  readonly latencyMs: number;
  /** Uniform extra delay in [0, jitterMs): reorders when it exceeds the spacing of datagrams. */
  readonly jitterMs?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  /** Probability of being held back by three latencies, so that later datagrams overtake. */
  readonly reorder?: number;
  /** Probability of one flipped bit. */
  readonly corrupt?: number;
  /** Datagrams (UDP payload) longer than this vanish, as with a path MTU and no ICMP. */
  readonly mtuBytes?: number;
  /** Bottleneck rate; 0 or absent is infinite. */
  readonly bitsPerSecond?: number;
  /** Bytes that fit into the bottleneck's queue; the tail is dropped. */
  readonly queueBytes?: number;
}

/** No impairment and no delay worth naming. */
export const PERFECT: LinkOptions = { latencyMs: 1 };

/** UDP and IPv4 headers, counted against the rate. */
const HEADER_BYTES = 28;

/** One direction: impairs, delays and delivers copies. Counts what it did, so that tests can assert that it happened. */
export class SimLink {
  options: LinkOptions;
  readonly counts = { sent: 0, delivered: 0, lost: 0, duplicated: 0, tooBig: 0, queueDrops: 0 };
  /** Called for every datagram offered, before any impairment: a place for captures and assertions. */
  onSend: ((bytes: Uint8Array, now: Instant) => void) | undefined;
  /** Decides about single datagrams (by their running number, from 0) instead of chance: true drops it. */
  dropIf: ((index: number, bytes: Uint8Array) => boolean) | undefined;
  readonly #world: SimWorld;
  readonly #random: SeededRandom;
  #busyUntil: Instant = 0;

  constructor(world: SimWorld, options: LinkOptions) {
    this.#world = world;
    this.options = options;
    this.#random = world.random.fork();
  }

  /** `bytes` is borrowed; `deliver` gets a copy of its own, never, once or twice. */
  send(bytes: Uint8Array, deliver: (bytes: Uint8Array) => void): void {
    const o = this.options;
    const index = this.counts.sent++;
    this.onSend?.(bytes, this.#world.now);
    if (o.mtuBytes !== undefined && bytes.length > o.mtuBytes) {
      this.counts.tooBig++;
      return;
    }
    if (this.dropIf?.(index, bytes) || this.#random.chance(o.loss ?? 0)) {
      this.counts.lost++;
      return;
    }
    const departs = this.#departure(bytes.length);
    if (departs === undefined) {
      this.counts.queueDrops++;
      return;
    }
    this.#arrive(bytes.slice(), departs, deliver);
    if (this.#random.chance(o.duplicate ?? 0)) {
      this.counts.duplicated++;
      this.#arrive(bytes.slice(), departs, deliver);
    }
  }

  /** When the last bit has left the bottleneck; undefined when its queue is full. */
  #departure(length: number): Instant | undefined {
    const { bitsPerSecond, queueBytes } = this.options;
    if (!bitsPerSecond) return this.#world.now;
    const start = Math.max(this.#world.now, this.#busyUntil);
    const queued = ((start - this.#world.now) * bitsPerSecond) / 8000;
    if (queueBytes !== undefined && queued + length > queueBytes) return undefined;
    this.#busyUntil = start + ((length + HEADER_BYTES) * 8000) / bitsPerSecond;
    return this.#busyUntil;
  }

  #arrive(bytes: Uint8Array, departs: Instant, deliver: (bytes: Uint8Array) => void): void {
    const o = this.options;
    let at = departs + o.latencyMs + this.#random.next() * (o.jitterMs ?? 0);
    if (this.#random.chance(o.reorder ?? 0)) at += 3 * o.latencyMs;
    if (this.#random.chance(o.corrupt ?? 0) && bytes.length > 0) {
      bytes[this.#random.below(bytes.length)]! ^= 1 << this.#random.below(8);
    }
    this.#world.schedule(at, () => {
      this.counts.delivered++;
      deliver(bytes);
    });
  }
}
