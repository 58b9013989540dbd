import { UsageError } from '../core/index.ts';
import type { SctpAssociation } from '../sctp/index.ts';

/** Small stable number that names one channel for the life of a `DataChannels`; never given out twice. */
export type ChannelHandle = number;

/** The side of the DTLS association: the client opens channels on even streams, the server on odd ones (RFC 8832 §6). */
export type DtlsRole = 'client' | 'server';

/** RFC 8831 §6.4: the four priorities that WebRTC uses; any other 16-bit number is legal too. */
export const PRIORITY = { belowNormal: 128, normal: 256, high: 512, extraHigh: 1024 } as const;

/** What a channel is, the same on both sides when it was opened in-band (RFC 8831 §6.4). */
export interface ChannelParameters {
  /** At most 65,535 bytes of UTF-8. */
  readonly label: string;
  /** At most 65,535 bytes of UTF-8; empty when unspecified. */
  readonly protocol: string;
  readonly ordered: boolean;
  /** Retransmissions of one message before it is given up; undefined is no limit. Excludes `maxPacketLifeTime`. */
  readonly maxRetransmits: number | undefined;
  /** Milliseconds from `send` during which a message may be (re)transmitted; undefined is no limit. */
  readonly maxPacketLifeTime: number | undefined;
  /** 16 bits, a weight for weighted fair queueing: see {@link PRIORITY}. */
  readonly priority: number;
  /** True where the application agrees about the channel by itself and no DCEP message is sent. */
  readonly negotiated: boolean;
  /** The stream identifier, 0 to 65,534; undefined until the DTLS role is known. */
  readonly id: number | undefined;
}

/** Parameters of `DataChannels.open`; what is left out is reliable, ordered, in-band and of normal priority. */
export type ChannelOptions = {
  readonly [K in keyof ChannelParameters]?: ChannelParameters[K] | undefined;
};

/** The states of the W3C's RTCDataChannelState. */
export type ChannelState = 'connecting' | 'open' | 'closing' | 'closed';

/** A channel as it is now, with its counters. */
export interface ChannelInfo extends ChannelParameters {
  readonly state: ChannelState;
  readonly messagesSent: number;
  /** Application bytes, without framing; UTF-8 for text. */
  readonly bytesSent: number;
  readonly messagesReceived: number;
  readonly bytesReceived: number;
}

/**
 * Why a command was refused. The façade maps them to the W3C's names: `not-open` InvalidStateError,
 * `message-too-large`, `bad-parameters` TypeError, `buffer-full`, `id-in-use`, `no-free-id` and `id-out-of-range`
 * OperationError, `closed` InvalidStateError.
 */
export type DataChannelErrorCode =
  | 'not-open'
  | 'message-too-large'
  | 'buffer-full'
  | 'bad-parameters'
  | 'id-in-use'
  | 'no-free-id'
  | 'id-out-of-range'
  | 'closed';

/** The caller asked for something that cannot be; nothing was changed. */
export class DataChannelError extends UsageError {
  readonly code: DataChannelErrorCode;

  constructor(code: DataChannelErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The W3C's RTCErrorDetailType, as far as channels have it. */
export type ChannelErrorDetail = 'data-channel-failure' | 'sctp-failure';

/** What `DataChannels.pollEvent` returns, in the order in which it happened. */
export type DataChannelEvent =
  /** The peer opened a channel. `open` follows at once; sending is allowed from here on. */
  | { readonly type: 'channel'; readonly handle: ChannelHandle; readonly parameters: ChannelParameters }
  /** A channel of ours got its stream identifier. */
  | { readonly type: 'id'; readonly handle: ChannelHandle; readonly id: number }
  | { readonly type: 'open'; readonly handle: ChannelHandle }
  /** The bytes belong to the receiver of the event. */
  | {
      readonly type: 'message';
      readonly handle: ChannelHandle;
      readonly data: string | Uint8Array;
      /**
       * Under `holdReceived`: what to give to `consume` for it. As it came, which `data` does not tell: an empty message has a
       * placeholder, and what is no UTF-8 becomes longer.
       */
      readonly heldBytes?: number;
    }
  /** The peer began to close (not sent for a local `close`). */
  | { readonly type: 'closing'; readonly handle: ChannelHandle }
  /**
   * The last event of a handle, with its final counters. An `error` event comes before it where the end was not a
   * graceful one.
   */
  | { readonly type: 'closed'; readonly handle: ChannelHandle; readonly info: ChannelInfo }
  | { readonly type: 'buffered-amount-low'; readonly handle: ChannelHandle }
  | {
      readonly type: 'error';
      readonly handle: ChannelHandle;
      readonly message: string;
      readonly detail: ChannelErrorDetail;
      /** RFC 9260 §3.3.10 cause code, where an ABORT ended the association. */
      readonly sctpCauseCode: number | undefined;
    };

/**
 * What channels need from an SCTP association. A part of its class, so that the state machine here can also be run over
 * anything else that delivers messages on numbered streams, as its tests do.
 */
export type StreamCarrier = Pick<
  SctpAssociation,
  | 'send'
  | 'bufferedAmount'
  | 'setBufferedAmountLowThreshold'
  | 'setStreamPriority'
  | 'resetStreams'
  | 'holdReceived'
  | 'consume'
>;
