import type { CryptoBackend, Instant, SansIo, Trace, TransmitSlot } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { SctpAssociation, type SctpEvent, type SctpMessage, type SctpOptions } from '../../src/sctp/index.ts';
import { connectPair, type LinkOptions, PERFECT, type SimEnd, SimWorld, simEnv } from '../sim/index.ts';

/** An association that can be replaced, as when a process restarts behind the same address. */
export class Replaceable implements SansIo<SctpEvent> {
  core: SctpAssociation;

  constructor(core: SctpAssociation) {
    this.core = core;
  }

  handleInput(bytes: Uint8Array, _path: unknown, now: Instant): void {
    this.core.handleInput(bytes, undefined, now);
  }

  handleTimeout(now: Instant): void {
    this.core.handleTimeout(now);
  }

  pollTransmit(slot: TransmitSlot, now: Instant): boolean {
    return this.core.pollTransmit(slot, now);
  }

  pollEvent(): SctpEvent | undefined {
    return this.core.pollEvent();
  }

  nextTimeout(): Instant {
    return this.core.nextTimeout();
  }
}

/** Two associations over a simulated link. */
export interface Pair {
  readonly world: SimWorld;
  readonly a: Side;
  readonly b: Side;
}

export interface Side {
  readonly core: SctpAssociation;
  readonly end: SimEnd<SctpEvent>;
  readonly messages: (SctpEvent & { readonly type: 'message' })[];
  send(message: Partial<SctpMessage> & { readonly bytes: Uint8Array }): void;
  types(): string[];
  /** The process dies, and another one takes its place and connects. */
  restart(): void;
}

export interface PairOptions {
  readonly seed?: number;
  readonly link?: LinkOptions;
  readonly back?: LinkOptions;
  readonly a?: Partial<SctpOptions>;
  readonly b?: Partial<SctpOptions>;
  readonly crypto?: CryptoBackend;
  readonly trace?: Trace;
  readonly maxSteps?: number;
}

export function makePair(options: PairOptions = {}): Pair {
  const world = new SimWorld(options.seed ?? 1, options.maxSteps);
  const crypto = options.crypto ?? nobleCrypto;
  const makeA = () => new SctpAssociation({ env: simEnv(world, crypto, options.trace), ...options.a });
  const makeB = () => new SctpAssociation({ env: simEnv(world, crypto), ...options.b });
  const placeA = new Replaceable(makeA());
  const placeB = new Replaceable(makeB());
  const link = options.link ?? PERFECT;
  const { a, b } = connectPair(world, placeA, placeB, link, options.back ?? link);
  return { world, a: makeSide(placeA, makeA, a), b: makeSide(placeB, makeB, b) };
}

function makeSide(place: Replaceable, make: () => SctpAssociation, end: SimEnd<SctpEvent>): Side {
  const messages: (SctpEvent & { readonly type: 'message' })[] = [];
  end.onEvent = (event) => {
    if (event.type === 'message') messages.push(event);
  };
  return {
    get core() {
      return place.core;
    },
    end,
    messages,
    send: (message) =>
      end.driver.mutate((now) => place.core.send({ streamId: 0, ppid: 51, ordered: true, ...message }, now)),
    types: () => end.events.filter((event) => event.type !== 'message').map((event) => event.type),
    restart: () => {
      place.core = make();
      end.driver.mutate((now) => place.core.connect(now));
    },
  };
}

/** Both sides connect, as in WebRTC, and come up. */
export function connectBoth(pair: Pair): void {
  pair.a.end.driver.mutate((now) => pair.a.core.connect(now));
  pair.b.end.driver.mutate((now) => pair.b.core.connect(now));
  const up = () => pair.a.core.state === 'established' && pair.b.core.state === 'established';
  if (!pair.world.run({ done: up })) throw new Error(`not connected: ${pair.a.core.state}, ${pair.b.core.state}`);
}

/** A connected pair. */
export function connectedPair(options: PairOptions = {}): Pair {
  const pair = makePair(options);
  connectBoth(pair);
  return pair;
}

/** `length` bytes that depend on `seed`, so that a mix-up shows. */
export function pattern(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = (seed * 2654435761) >>> 0;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}
