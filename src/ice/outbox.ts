import { DropCounters, type DropReason, type FiveTuple, Ring, type Trace, type TransmitSlot } from '../core/index.ts';
import { MAX_QUEUED_DATAGRAMS } from './limits.ts';
import type { IceEvent } from './types.ts';

/** What leaves an agent: datagrams, events, and counted drops. */
export class Outbox {
  readonly drops: DropCounters = new DropCounters();
  readonly #trace: Trace;
  readonly #events: Ring<IceEvent> = new Ring();
  readonly #datagrams: Ring<{ readonly bytes: Uint8Array; readonly path: FiveTuple }> = new Ring(MAX_QUEUED_DATAGRAMS);

  constructor(trace: Trace) {
    this.#trace = trace;
  }

  get hasDatagrams(): boolean {
    return this.#datagrams.length > 0;
  }

  /** @param bytes - kept until they are polled. */
  send(bytes: Uint8Array, path: FiveTuple): void {
    if (!this.#datagrams.push({ bytes, path })) this.drop('limit', 'datagrams nobody polled');
  }

  emit(event: IceEvent): void {
    this.#events.push(event);
  }

  drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#trace.drop('ice', reason, detail);
  }

  /** @returns false when there is none. */
  takeDatagram(slot: TransmitSlot<FiveTuple>): boolean {
    const datagram = this.#datagrams.shift();
    if (datagram === undefined) return false;
    slot.buffer.set(datagram.bytes, slot.offset);
    slot.length = datagram.bytes.length;
    slot.path = datagram.path;
    return true;
  }

  takeEvent(): IceEvent | undefined {
    return this.#events.shift();
  }

  /** Nothing is sent any more; events are still told. */
  clearDatagrams(): void {
    this.#datagrams.clear();
  }
}
