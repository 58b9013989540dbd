import { DropCounters, type Instant, NEVER, type SansIo, type TransmitSlot, UsageError } from '../core/index.ts';
import type { SctpEvent, SctpMessage, SctpOptions, SctpState, SctpStats } from './types.ts';

/** One SCTP association (RFC 9260) over any datagram carrier; over DTLS it is RFC 8261. */
export class SctpAssociation implements SansIo<SctpEvent, void> {
  readonly drops: DropCounters = new DropCounters();
  readonly #options: SctpOptions;

  constructor(options: SctpOptions) {
    this.#options = options;
  }

  get state(): SctpState {
    return 'closed';
  }

  /** Streams in each direction; undefined until connected. */
  get inboundStreams(): number | undefined {
    return undefined;
  }

  get outboundStreams(): number | undefined {
    return undefined;
  }

  /** Bytes queued and not yet sent for the first time, over all streams. */
  get totalBuffered(): number {
    return 0;
  }

  connect(_now: Instant): void {
    this.#options.env.trace.note('sctp', 'not there yet');
  }

  send(_message: SctpMessage, _now: Instant): void {
    throw new UsageError('not there yet');
  }

  bufferedAmount(_streamId: number): number {
    return 0;
  }

  setBufferedAmountLowThreshold(_streamId: number, _bytes: number): void {
    throw new UsageError('not there yet');
  }

  /** Weight of a stream for the schedulers `priority` and `weighted-fair`; default 256 (RFC 8831 §6.4). */
  setStreamPriority(_streamId: number, _priority: number): void {
    throw new UsageError('not there yet');
  }

  resetStreams(_streamIds: readonly number[], _now: Instant): void {
    throw new UsageError('not there yet');
  }

  /** Asks for more streams (RFC 6525 §4.5, §4.6). */
  addStreams(_outbound: number, _inbound: number, _now: Instant): void {
    throw new UsageError('not there yet');
  }

  /**
   * With `hold`, messages of this stream count against the receive window after they were delivered, until `consume`
   * says that the application is done with them: a slow reader slows the sender.
   */
  holdReceived(_streamId: number, _hold: boolean, _now: Instant): void {
    throw new UsageError('not there yet');
  }

  /** Gives back window for `bytes` of a stream under `holdReceived`. */
  consume(_streamId: number, _bytes: number, _now: Instant): void {
    throw new UsageError('not there yet');
  }

  shutdown(_now: Instant): void {
    throw new UsageError('not there yet');
  }

  abort(_reason: string, _now: Instant): void {
    throw new UsageError('not there yet');
  }

  handleInput(_bytes: Uint8Array, _path: void, _now: Instant): void {
    this.drops.count('bad-state');
  }

  handleTimeout(_now: Instant): void {
    this.drops.count('bad-state');
  }

  pollTransmit(_slot: TransmitSlot, _now: Instant): boolean {
    return false;
  }

  pollEvent(): SctpEvent | undefined {
    return undefined;
  }

  nextTimeout(): Instant {
    return NEVER;
  }

  stats(): SctpStats {
    throw new UsageError('not there yet');
  }
}
