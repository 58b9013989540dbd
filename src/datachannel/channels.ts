import { DropCounters, type Instant, SILENT, type Trace } from '../core/index.ts';
import type {
  CarrierEvent,
  ChannelHandle,
  ChannelInfo,
  ChannelOptions,
  DataChannelEvent,
  DtlsRole,
  StreamCarrier,
} from './types.ts';
import { DataChannelError } from './types.ts';

/** What `DataChannels` is made with. */
export interface DataChannelsOptions {
  readonly association: StreamCarrier;
  /** Known from the start, or set later with `setRole`. */
  readonly role?: DtlsRole | undefined;
  /** Largest message the peer accepts, from `a=max-message-size` (RFC 8841 §6); 0 is no limit. Default 65,536. */
  readonly maxSendMessageBytes?: number | undefined;
  /** Largest message put together from deprecated partial messages. Default 262,144. */
  readonly maxReceiveMessageBytes?: number | undefined;
  /** What `bufferedAmount` of one channel may reach before `send` refuses. Default 16 MiB. */
  readonly maxBufferedBytes?: number | undefined;
  /** Bytes of labels and protocols that the peer's channels may hold together. Default 16 MiB. */
  readonly maxPeerLabelBytes?: number | undefined;
  /** User data on a stream without a channel: reset it as RFC 8832 §6 says, or only drop it as browsers do. */
  readonly onUnknownStream?: 'reset' | 'drop' | undefined;
  readonly trace?: Trace | undefined;
}

/** The data channels of one SCTP association. */
export class DataChannels {
  readonly drops: DropCounters = new DropCounters();
  readonly #trace: Trace;

  constructor(options: DataChannelsOptions) {
    this.#trace = options.trace ?? SILENT;
  }

  setRole(_role: DtlsRole, _now: Instant): void {
    this.#trace.note('datachannel', 'not there yet');
  }

  setMaxSendMessageBytes(_bytes: number): void {
    throw new DataChannelError('closed', 'not there yet');
  }

  /** Most channels at once: the lesser of the streams each way; undefined until the association is up. */
  get maxChannels(): number | undefined {
    return undefined;
  }

  open(_options: ChannelOptions, _now: Instant): ChannelHandle {
    throw new DataChannelError('closed', 'not there yet');
  }

  send(_handle: ChannelHandle, _data: string | Uint8Array, _now: Instant): void {
    throw new DataChannelError('closed', 'not there yet');
  }

  close(_handle: ChannelHandle, _now: Instant): void {
    throw new DataChannelError('closed', 'not there yet');
  }

  bufferedAmount(_handle: ChannelHandle): number {
    return 0;
  }

  setBufferedAmountLowThreshold(_handle: ChannelHandle, _bytes: number): void {
    throw new DataChannelError('closed', 'not there yet');
  }

  info(_handle: ChannelHandle): ChannelInfo | undefined {
    return undefined;
  }

  /** Handles of all channels that are not closed, in order of creation. */
  handles(): ChannelHandle[] {
    return [];
  }

  handleSctpEvent(_event: CarrierEvent, _now: Instant): void {
    throw new DataChannelError('closed', 'not there yet');
  }

  pollEvent(): DataChannelEvent | undefined {
    return undefined;
  }
}
