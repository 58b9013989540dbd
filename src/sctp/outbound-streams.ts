import { type Instant, NEVER, Ring, UsageError } from '../core/index.ts';
import { MAX_QUEUED_MESSAGES } from './limits.ts';
import { copyMessage } from './message-copies.ts';
import { type Schedulable, Scheduler, type SchedulerName } from './scheduler.ts';
import type { SctpEvent, SctpMessage } from './types.ts';

/**
 * Ordered messages of a stream that are under way never span more than two blocks of so many SSNs: a receiver that compares
 * SSNs serially (RFC 9260 §1.6) takes one that is half of the range ahead for one that it had.
 */
const SSN_BLOCK = 0x4000;

const DEFAULT_PRIORITY = 256; // "normal", RFC 8831 §6.4

/** A user message from `send` until its last byte is acknowledged or given up. */
export class OutboundMessage {
  readonly stream: OutboundStream;
  readonly ppid: number;
  readonly bytes: Uint8Array;
  /** `bytes` are ours, to be used again. */
  readonly isCopy: boolean;
  readonly unordered: boolean;
  readonly maxRetransmits: number;
  readonly expiresAt: Instant;
  readonly arrival: number;
  /** Bytes that have been given a TSN. */
  sent = 0;
  /** SSN or MID; given with the first TSN, so that a message dropped before leaves no hole. */
  messageNumber = -1;
  nextFsn = 0;
  firstTsn = -1;
  lastTsn = -1;
  abandoned = false;

  constructor(stream: OutboundStream, message: SctpMessage, arrival: number, now: Instant) {
    this.stream = stream;
    this.ppid = message.ppid;
    this.isCopy = message.borrowed === true;
    this.bytes = this.isCopy ? copyMessage(message.bytes) : message.bytes;
    this.unordered = !message.ordered;
    this.maxRetransmits = message.maxRetransmits ?? Number.POSITIVE_INFINITY;
    this.expiresAt = message.lifetimeMs === undefined ? NEVER : now + message.lifetimeMs;
    this.arrival = arrival;
  }

  /** Whether partial reliability applies at all (RFC 3758). */
  get isUnreliable(): boolean {
    return this.maxRetransmits !== Number.POSITIVE_INFINITY || this.expiresAt !== NEVER;
  }
}

/** Where a stream stands in a reset of its outgoing half (RFC 6525 §5.1.2). */
export type ResetPhase =
  | 'none'
  /** Asked for; what was queued before is still being sent. */
  | 'draining'
  /** Nothing of it is left unsent: the request may name it. */
  | 'ready'
  /** In a request that the peer has not answered. */
  | 'requested';

/** The sending half of one stream. */
export class OutboundStream implements Schedulable {
  readonly id: number;
  queue: Ring<OutboundMessage> = new Ring();
  /** Messages sent while a reset was under way, for the stream's next life; between two lives lies another reset. */
  readonly nextLives: Ring<Ring<OutboundMessage>> = new Ring();
  resetPhase: ResetPhase = 'none';
  /** TSN of the last fragment of a message that may be given up; -1 when there was none. */
  lastUnreliableTsn = -1;
  bufferedBytes = 0;
  lowThreshold = 0;
  nextSsn = 0;
  /** TSN of the first message of the block of {@link SSN_BLOCK} numbers that `nextSsn` is in; -1 before the first. */
  ssnBlockTsn = -1;
  nextMid = 0;
  nextUnorderedMid = 0;
  priority: number = DEFAULT_PRIORITY;
  /** In the scheduler's heap. */
  scheduled = false;
  scheduleKey = 0;
  scheduleTurn = 0;
  scheduleFinish = 0;

  constructor(id: number) {
    this.id = id;
  }

  get headArrival(): number {
    return this.queue.peek()?.arrival ?? 0;
  }
}

/** The queues of messages not yet sent, one a stream, and whose turn it is. */
export class OutboundStreams {
  readonly #streams = new Map<number, OutboundStream>();
  readonly #scheduler: Scheduler<OutboundStream>;
  readonly #events: Ring<SctpEvent>;
  readonly #interleaved: boolean;
  readonly #maxBytes: number;
  /** Streams whose reset can be requested. */
  readonly #ready = new Set<number>();
  /** The stream whose turn it is; with DATA for a whole message, whose fragments must stay together (RFC 9260 §6.9). */
  #active: OutboundStream | undefined;
  #arrivals = 0;
  #messages = 0;
  #totalBytes = 0;
  /** Messages given up before anything of them was sent. */
  expired = 0;

  constructor(scheduler: SchedulerName, interleaved: boolean, maxBytes: number, events: Ring<SctpEvent>) {
    this.#scheduler = new Scheduler(scheduler);
    this.#interleaved = interleaved;
    this.#maxBytes = maxBytes;
    this.#events = events;
  }

  /** Bytes without a TSN, over all streams. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  get isEmpty(): boolean {
    return this.#messages === 0;
  }

  /** @throws {UsageError} when a bound of the send buffer is reached. */
  enqueue(message: SctpMessage, now: Instant): void {
    if (this.#totalBytes + message.bytes.length > this.#maxBytes || this.#messages >= MAX_QUEUED_MESSAGES) {
      throw new UsageError(`the send buffer is full: ${this.#totalBytes} bytes wait`);
    }
    const stream = this.stream(message.streamId);
    const item = new OutboundMessage(stream, message, this.#arrivals++, now);
    this.#messages++;
    this.#totalBytes += item.bytes.length;
    stream.bufferedBytes += item.bytes.length;
    if (stream.resetPhase !== 'none') {
      if (stream.nextLives.length === 0) stream.nextLives.push(new Ring());
      stream.nextLives.at(stream.nextLives.length - 1)?.push(item);
      return;
    }
    stream.queue.push(item);
    this.#schedule(stream);
  }

  /** The stream, made when it is first named. */
  stream(id: number): OutboundStream {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      stream = new OutboundStream(id);
      this.#streams.set(id, stream);
    }
    return stream;
  }

  bufferedAmount(streamId: number): number {
    return this.#streams.get(streamId)?.bufferedBytes ?? 0;
  }

  #schedule(stream: OutboundStream): void {
    if (stream.scheduled || stream === this.#active || stream.queue.length === 0) return;
    stream.scheduled = true;
    this.#scheduler.add(stream);
  }

  /** The message to send from next; those whose lifetime is over are dropped on the way (RFC 3758 §4.1). */
  next(now: Instant): OutboundMessage | undefined {
    for (;;) {
      let stream = this.#active;
      if (stream === undefined) {
        stream = this.#scheduler.pop();
        if (stream === undefined) return undefined;
        stream.scheduled = false;
        this.#active = stream;
      }
      const message = stream.queue.peek();
      if (message === undefined) {
        this.#active = undefined; // its last message was given up while it waited for its turn
        continue;
      }
      // One that has begun is given up as a whole, by the sender, who knows its TSNs.
      if (message.expiresAt > now || message.sent > 0) return message;
      this.expired++;
      message.abandoned = true;
      this.take(message, message.bytes.length);
    }
  }

  /** Whether the message may get a number: not where that would be too far from those that are under way. */
  mayNumber(message: OutboundMessage, firstUnackedTsn: number): boolean {
    if (this.#interleaved || message.unordered) return true;
    const { nextSsn, ssnBlockTsn } = message.stream;
    return nextSsn % SSN_BLOCK !== 0 || ssnBlockTsn < firstUnackedTsn;
  }

  /** Gives the message its number when its first fragment is sent, as `tsn`. */
  number(message: OutboundMessage, tsn: number): void {
    const stream = message.stream;
    if (!this.#interleaved) {
      // Unordered messages do not use SSNs up (RFC 9260 §6.6).
      message.messageNumber = stream.nextSsn;
      if (message.unordered) return;
      if (stream.nextSsn % SSN_BLOCK === 0) stream.ssnBlockTsn = tsn;
      stream.nextSsn = (stream.nextSsn + 1) & 0xffff;
    } else if (message.unordered) {
      message.messageNumber = stream.nextUnorderedMid;
      stream.nextUnorderedMid = (stream.nextUnorderedMid + 1) >>> 0;
    } else {
      message.messageNumber = stream.nextMid;
      stream.nextMid = (stream.nextMid + 1) >>> 0;
    }
  }

  /** `count` more bytes of a message at the head of its stream were sent, or given up. */
  take(message: OutboundMessage, count: number): void {
    const stream = message.stream;
    message.sent += count;
    this.#totalBytes -= count;
    const before = stream.bufferedBytes;
    stream.bufferedBytes = before - count;
    const done = message.sent === message.bytes.length;
    if (done) {
      stream.queue.shift();
      this.#messages--;
    }
    if (stream === this.#active) {
      this.#scheduler.charge(stream, count);
      if (done || this.#interleaved) {
        this.#active = undefined;
        this.#schedule(stream);
      }
    }
    if (before > stream.lowThreshold && stream.bufferedBytes <= stream.lowThreshold) {
      this.#events.push({ type: 'buffered-amount-low', streamId: stream.id });
    }
    if (done && stream.resetPhase === 'draining' && stream.queue.length === 0) this.#setReady(stream);
  }

  /**
   * RFC 6525 §5.1.2: the stream is to be reset once what it has queued is sent. One that is to be reset already is so once
   * more only if something was sent on it since: a peer that keeps asking for resets makes nothing grow.
   */
  beginReset(streamId: number): void {
    const stream = this.stream(streamId);
    if (stream.resetPhase === 'none') {
      this.#drainForReset(stream);
      return;
    }
    const { nextLives } = stream;
    if ((nextLives.at(nextLives.length - 1)?.length ?? 0) > 0) nextLives.push(new Ring());
  }

  #drainForReset(stream: OutboundStream): void {
    stream.resetPhase = 'draining';
    if (stream.queue.length === 0) this.#setReady(stream);
  }

  #setReady(stream: OutboundStream): void {
    stream.resetPhase = 'ready';
    this.#ready.add(stream.id);
  }

  /**
   * Whether the reset of a stream can be requested: not while a message of it may yet be skipped. A FORWARD TSN names the
   * message by stream and number only, and the peer may have begun to count anew when it comes.
   * @param cumulativeAck - all TSNs up to here are acknowledged.
   */
  hasReadyResets(cumulativeAck: number): boolean {
    for (const id of this.#ready) if (this.stream(id).lastUnreliableTsn <= cumulativeAck) return true;
    return false;
  }

  /** Takes up to `max` streams of which {@link hasReadyResets} is true. */
  takeReadyResets(max: number, cumulativeAck: number): number[] {
    const ids: number[] = [];
    for (const id of this.#ready) {
      if (ids.length === max) break;
      if (this.stream(id).lastUnreliableTsn > cumulativeAck) continue;
      ids.push(id);
      this.stream(id).resetPhase = 'requested';
    }
    for (const id of ids) this.#ready.delete(id);
    return ids;
  }

  /** The peer answered: the streams begin anew (when it agreed) and what waited for that goes out. */
  finishReset(streamIds: readonly number[], performed: boolean): void {
    for (const id of streamIds) {
      const stream = this.stream(id);
      stream.resetPhase = 'none';
      if (performed) {
        stream.nextSsn = 0;
        stream.ssnBlockTsn = -1;
        stream.nextMid = 0;
        stream.nextUnorderedMid = 0;
      }
      const nextLife = stream.nextLives.shift();
      if (nextLife !== undefined) {
        stream.queue = nextLife;
        if (stream.nextLives.length > 0) this.#drainForReset(stream);
        this.#schedule(stream);
      } else if (performed && stream.lowThreshold === 0 && stream.priority === DEFAULT_PRIORITY) {
        this.#streams.delete(id); // as good as new: memory stays flat over many channels
      }
    }
  }
}
