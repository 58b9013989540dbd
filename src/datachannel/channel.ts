import { utf8 } from '../core/index.ts';
import { BufferLedger } from './buffer-ledger.ts';
import { type DcepOpen, MAX_LABEL_BYTES } from './dcep.ts';
import { MAX_STREAM_ID } from './stream-ids.ts';
import {
  type ChannelErrorDetail,
  type ChannelHandle,
  type ChannelInfo,
  type ChannelOptions,
  type ChannelParameters,
  type ChannelState,
  DataChannelError,
  PRIORITY,
} from './types.ts';
import { MessageReader } from './user-message.ts';

/** Why a channel ends otherwise than by a graceful close. */
export interface ChannelFailure {
  readonly message: string;
  readonly detail: ChannelErrorDetail;
  readonly sctpCauseCode: number | undefined;
}

/** One channel: a record that `DataChannels` moves through its states. */
export class Channel {
  readonly handle: ChannelHandle;
  readonly parameters: ChannelParameters;
  /** Bytes of label and protocol, counted against the bound when the peer opened it; 0 for ours. */
  readonly peerLabelBytes: number;
  id: number | undefined;
  state: ChannelState = 'connecting';
  wasOpen = false;
  /** DATA_CHANNEL_OPEN is with the carrier. Until then nothing may be sent and nothing needs a reset. */
  announced = false;
  /** The peer has shown that it knows the channel: before that, everything goes out ordered (RFC 8832 §6). */
  confirmed: boolean;
  /** A DATA_CHANNEL_ACK may still come: once, and unordered messages of the peer may overtake it. */
  awaitsAck = false;
  failure: ChannelFailure | undefined;
  lowThreshold = 0;
  /** Since when `bufferedAmount` was last above the threshold, no low event has been given. */
  aboveThreshold = false;
  ledger: BufferLedger = new BufferLedger();
  readonly reader: MessageReader = new MessageReader();
  /** What was delivered counts against the receive window until the application has consumed it. */
  held = false;
  messagesSent = 0;
  bytesSent = 0;
  messagesReceived = 0;
  bytesReceived = 0;

  constructor(handle: ChannelHandle, parameters: ChannelParameters, peerLabelBytes = 0) {
    this.handle = handle;
    this.parameters = parameters;
    this.id = parameters.id;
    this.peerLabelBytes = peerLabelBytes;
    this.confirmed = parameters.negotiated;
  }

  /** What was announced was announced on another association. */
  unannounce(): void {
    this.announced = false;
    this.awaitsAck = false;
    this.ledger = new BufferLedger();
  }

  info(): ChannelInfo {
    const { label, protocol, ordered, maxRetransmits, maxPacketLifeTime, priority, negotiated } = this.parameters;
    return {
      label,
      protocol,
      ordered,
      maxRetransmits,
      maxPacketLifeTime,
      priority,
      negotiated,
      id: this.id,
      state: this.state,
      messagesSent: this.messagesSent,
      bytesSent: this.bytesSent,
      messagesReceived: this.messagesReceived,
      bytesReceived: this.bytesReceived,
    };
  }
}

/**
 * Completes and checks the options of `open`.
 * @throws {DataChannelError} `bad-parameters`.
 */
export function checkOptions(options: ChannelOptions): ChannelParameters {
  const p: ChannelParameters = {
    label: options.label ?? '',
    protocol: options.protocol ?? '',
    ordered: options.ordered ?? true,
    maxRetransmits: options.maxRetransmits,
    maxPacketLifeTime: options.maxPacketLifeTime,
    priority: options.priority ?? PRIORITY.normal,
    negotiated: options.negotiated ?? false,
    id: options.id,
  };
  demand(utf8(p.label).length <= MAX_LABEL_BYTES, `the label is longer than ${MAX_LABEL_BYTES} bytes`);
  demand(utf8(p.protocol).length <= MAX_LABEL_BYTES, `the protocol is longer than ${MAX_LABEL_BYTES} bytes`);
  demand(isUint(p.maxRetransmits ?? 0, 0xffff_ffff), 'maxRetransmits is not a 32-bit number');
  demand(isUint(p.maxPacketLifeTime ?? 0, 0xffff_ffff), 'maxPacketLifeTime is not a 32-bit number');
  demand(
    p.maxRetransmits === undefined || p.maxPacketLifeTime === undefined,
    'maxRetransmits and maxPacketLifeTime exclude each other',
  );
  demand(isUint(p.priority, 0xffff), 'priority is not a 16-bit number');
  demand(p.id === undefined || isUint(p.id, MAX_STREAM_ID), `id is not a number up to ${MAX_STREAM_ID}`);
  demand(!p.negotiated || p.id !== undefined, 'a negotiated channel needs an id');
  return p;
}

/** Parameters of a channel that the peer opened. */
export function peerParameters(open: DcepOpen, id: number): ChannelParameters {
  return {
    label: open.label,
    protocol: open.protocol,
    ordered: open.ordered,
    maxRetransmits: open.maxRetransmits,
    maxPacketLifeTime: open.maxPacketLifeTime,
    priority: open.priority,
    negotiated: false,
    id,
  };
}

function isUint(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function demand(valid: boolean, message: string): void {
  if (!valid) throw new DataChannelError('bad-parameters', message);
}
