import { type Instant, Ring, UsageError } from '../../src/core/index.ts';
import {
  type DataChannelEvent,
  DataChannels,
  type DataChannelsOptions,
  type StreamCarrier,
} from '../../src/datachannel/index.ts';
import type { SctpEvent, SctpMessage } from '../../src/sctp/index.ts';
import type { SeededRandom } from '../sim/index.ts';

type Item =
  | { readonly kind: 'message'; readonly message: SctpMessage }
  | { readonly kind: 'reset'; readonly streamId: number }
  | { readonly kind: 'reset-answer'; readonly streamId: number; readonly ok: boolean };

/**
 * One end of an association without packets: what the other end gets, and when, is decided by the test. Streams keep
 * order; a reset comes after what was sent before it, and what is sent after it waits for its answer, as RFC 6525 has it.
 */
export class FakeAssociation implements StreamCarrier {
  peer: FakeAssociation | undefined;
  channels: DataChannels | undefined;
  readonly sent: SctpMessage[] = [];
  readonly resets: number[] = [];
  readonly priorities: Map<number, number> = new Map();
  readonly held: Map<number, boolean> = new Map();
  readonly consumed: [number, number][] = [];
  /** Bytes that `send` takes before it refuses. */
  sendBufferBytes: number = Number.POSITIVE_INFINITY;
  refuseResets: boolean = false;
  /** As with a peer that does not know RFC 6525. */
  cannotReset: boolean = false;
  readonly outbox: Item[] = [];
  /** What waits on a stream for the answer to its reset. */
  readonly #resetting = new Map<number, Item[]>();
  readonly #thresholds = new Map<number, number>();

  send(message: SctpMessage): void {
    const bounded = Number.isFinite(this.sendBufferBytes);
    if (bounded && this.#buffered() + message.bytes.length > this.sendBufferBytes)
      throw new UsageError('the send buffer is full');
    this.sent.push(message);
    this.#queue(message.streamId, { kind: 'message', message });
  }

  #queue(streamId: number, item: Item): void {
    const waiting = this.#resetting.get(streamId);
    if (waiting !== undefined) {
      waiting.push(item);
      return;
    }
    this.outbox.push(item);
    if (item.kind === 'reset') this.#resetting.set(streamId, []);
  }

  #buffered(): number {
    let bytes = 0;
    for (const item of this.outbox) if (item.kind === 'message') bytes += item.message.bytes.length;
    return bytes;
  }

  bufferedAmount(streamId: number): number {
    let bytes = 0;
    for (const item of this.outbox)
      if (item.kind === 'message' && item.message.streamId === streamId) bytes += item.message.bytes.length;
    for (const item of this.#resetting.get(streamId) ?? [])
      if (item.kind === 'message') bytes += item.message.bytes.length;
    return bytes;
  }

  setBufferedAmountLowThreshold(streamId: number, bytes: number): void {
    this.#thresholds.set(streamId, bytes);
  }

  setStreamPriority(streamId: number, priority: number): void {
    this.priorities.set(streamId, priority);
  }

  holdReceived(streamId: number, hold: boolean): void {
    this.held.set(streamId, hold);
  }

  consume(streamId: number, bytes: number): void {
    this.consumed.push([streamId, bytes]);
  }

  resetStreams(streamIds: readonly number[]): void {
    if (this.cannotReset) throw new UsageError('the peer does not support stream reset');
    for (const streamId of streamIds) {
      if (this.#resetting.has(streamId)) throw new Error(`stream ${streamId} is being reset already`);
      this.resets.push(streamId);
      this.#queue(streamId, { kind: 'reset', streamId });
    }
  }

  /** Which items may arrive next: the first of each stream, and any answer, for packets are lost and overtaken. */
  deliverable(): number[] {
    const seen = new Set<number>();
    const reset = new Set<number>();
    const indexes: number[] = [];
    this.outbox.forEach((item, index) => {
      if (item.kind === 'reset-answer') {
        indexes.push(index);
        return;
      }
      const streamId = item.kind === 'message' ? item.message.streamId : item.streamId;
      const unordered = item.kind === 'message' && !item.message.ordered;
      // An unordered message may pass what is before it, except a reset; nothing but such a message passes it.
      if (!seen.has(streamId) || (unordered && !reset.has(streamId))) indexes.push(index);
      seen.add(streamId);
      if (item.kind === 'reset') reset.add(streamId);
    });
    return indexes;
  }

  /** Hands one item to the other end. */
  deliver(index: number, now: Instant = 0): void {
    const [item] = this.outbox.splice(index, 1);
    const peer = this.peer;
    if (item === undefined || peer === undefined) throw new Error('nothing to deliver');
    switch (item.kind) {
      case 'message': {
        const { streamId, ppid, bytes, ordered } = item.message;
        const before = this.bufferedAmount(streamId) + bytes.length;
        peer.event({ type: 'message', streamId, ppid, bytes, unordered: !ordered }, now);
        const threshold = this.#thresholds.get(streamId) ?? 0;
        if (before > threshold && this.bufferedAmount(streamId) <= threshold)
          this.event({ type: 'buffered-amount-low', streamId }, now);
        break;
      }
      case 'reset': {
        const ok = !peer.refuseResets;
        peer.outbox.push({ kind: 'reset-answer', streamId: item.streamId, ok });
        if (ok) peer.event({ type: 'incoming-reset', streamIds: [item.streamId] }, now);
        break;
      }
      case 'reset-answer': {
        const waiting = peer.#resetting.get(item.streamId) ?? [];
        peer.#resetting.delete(item.streamId);
        for (const waited of waiting) peer.#queue(item.streamId, waited);
        peer.event({ type: 'outgoing-reset', streamIds: [item.streamId], ok: item.ok }, now);
        break;
      }
    }
  }

  event(event: SctpEvent, now: Instant = 0): void {
    this.channels?.handleSctpEvent(event, now);
  }
}

/** One side of a test: channels over a fake association, with the events so far. */
export interface FakeSide {
  readonly association: FakeAssociation;
  readonly channels: DataChannels;
  /** Takes and returns the events since the last call. */
  events(): DataChannelEvent[];
}

export function fakeSide(options: Partial<DataChannelsOptions> = {}): FakeSide {
  const association = new FakeAssociation();
  const channels = new DataChannels({ association, ...options });
  association.channels = channels;
  const events = (): DataChannelEvent[] => {
    const list = new Ring<DataChannelEvent>();
    for (let e = channels.pollEvent(); e !== undefined; e = channels.pollEvent()) list.push(e);
    return [...list];
  };
  return { association, channels, events };
}

/** A DTLS client `a` and a server `b`, joined; `up()` tells both that the association is established. */
export function fakePair(
  optionsA: Partial<DataChannelsOptions> = { role: 'client' },
  optionsB: Partial<DataChannelsOptions> = { role: 'server' },
): { readonly a: FakeSide; readonly b: FakeSide; up(streams?: number): void; settle(random?: SeededRandom): void } {
  const a = fakeSide(optionsA);
  const b = fakeSide(optionsB);
  a.association.peer = b.association;
  b.association.peer = a.association;
  const up = (streams = 65_535): void => {
    for (const side of [a, b])
      side.association.event({ type: 'connected', inboundStreams: streams, outboundStreams: streams });
  };
  const settle = (random?: SeededRandom): void => {
    for (let steps = 0; steps < 100_000; steps++) if (!step(a, b, random)) return;
    throw new Error('the channels never come to rest');
  };
  return { a, b, up, settle };
}

/** Delivers one item of either side: in turn, or by chance. False when there is none. */
export function step(a: FakeSide, b: FakeSide, random?: SeededRandom): boolean {
  const sides = [a.association, b.association].filter((side) => side.outbox.length > 0);
  if (sides.length === 0) return false;
  const side = random === undefined ? sides[0]! : random.pick(sides);
  const choices = side.deliverable();
  side.deliver(random === undefined ? choices[0]! : random.pick(choices));
  return true;
}
