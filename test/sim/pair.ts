import { Driver, type Host, type Instant, NEVER, type SansIo, type TransmitSlot } from '../../src/core/index.ts';
import { type LinkOptions, SimLink } from './link.ts';
import type { SimWorld } from './world.ts';

/** The simulator's end of a `Driver`: virtual clock, one timer, and a function for the wire. */
export class SimHost<P> implements Host<P> {
  onWake: () => void = () => undefined;
  readonly #world: SimWorld;
  readonly #transmit: (slot: TransmitSlot<P>) => void;
  #armedAt: Instant = NEVER;
  #cancel: () => void = () => undefined;

  constructor(world: SimWorld, transmit: (slot: TransmitSlot<P>) => void) {
    this.#world = world;
    this.#transmit = transmit;
  }

  now(): Instant {
    return this.#world.now;
  }

  send(slot: TransmitSlot<P>): void {
    this.#transmit(slot);
  }

  wakeAt(at: Instant): void {
    if (at === this.#armedAt) return;
    this.#cancel();
    this.#armedAt = at;
    if (at === NEVER) return;
    this.#cancel = this.#world.schedule(at, () => {
      this.#armedAt = NEVER;
      this.onWake();
    });
  }
}

/** One side of a {@link connectPair}. */
export interface SimEnd<E> {
  readonly driver: Driver<E, void>;
  /** Every event so far, in order. Bytes inside are borrowed: copy them in `onEvent` if a test needs them later. */
  readonly events: E[];
  /** The direction from this side to the other. */
  readonly link: SimLink;
  /** Called for each event before it is recorded. */
  onEvent: ((event: E) => void) | undefined;
}

/** Two cores joined by two one-way links, each driven by the real `Driver`. */
export function connectPair<A, B>(
  world: SimWorld,
  coreA: SansIo<A, void>,
  coreB: SansIo<B, void>,
  linkAB: LinkOptions,
  linkBA: LinkOptions = linkAB,
): { readonly a: SimEnd<A>; readonly b: SimEnd<B> } {
  const a: SimEnd<A> = makeEnd(world, coreA, linkAB, (bytes) => b.driver.input(bytes, undefined));
  const b: SimEnd<B> = makeEnd(world, coreB, linkBA, (bytes) => a.driver.input(bytes, undefined));
  return { a, b };
}

function makeEnd<E>(
  world: SimWorld,
  core: SansIo<E, void>,
  options: LinkOptions,
  deliver: (bytes: Uint8Array) => void,
): SimEnd<E> {
  const link = new SimLink(world, options);
  const host = new SimHost<void>(world, (slot) => {
    link.send(slot.buffer.subarray(slot.offset, slot.offset + slot.length), deliver);
  });
  const events: E[] = [];
  const driver = new Driver<E, void>(core, host, (event) => {
    end.onEvent?.(event);
    events.push(event);
  });
  host.onWake = () => driver.wake();
  const end: SimEnd<E> = { driver, events, link, onEvent: undefined };
  return end;
}
