import { ByteReader, ByteWriter, DecodeError, utf8 } from '../core/index.ts';

/*
 * DATA_CHANNEL_OPEN (RFC 8832 §5.1)                         DATA_CHANNEL_ACK (RFC 8832 §5.2)
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1     0 1 2 3 4 5 6 7
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   +-+-+-+-+-+-+-+-+
 * |  Message Type |  Channel Type |            Priority           |   |  Message Type |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   +-+-+-+-+-+-+-+-+
 * |                    Reliability Parameter                      |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |         Label Length          |       Protocol Length         |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * \                    Label, then Protocol (UTF-8)               /
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */

/** RFC 8832 §8.2.1. */
export const DCEP_ACK = 0x02;
/** RFC 8832 §8.2.1. */
export const DCEP_OPEN = 0x03;
const OPEN_HEADER_BYTES = 12;
/** RFC 8832 §5.1: the length fields have 16 bits. */
export const MAX_LABEL_BYTES = 65_535;

/** RFC 8832 §8.2.2: the high bit is "unordered". */
const RELIABLE = 0x00;
const PARTIAL_RELIABLE_REXMIT = 0x01;
const PARTIAL_RELIABLE_TIMED = 0x02;
const UNORDERED = 0x80;

/** DATA_CHANNEL_OPEN. At most one of `maxRetransmits` and `maxPacketLifeTime` is set; each has 32 bits. */
export interface DcepOpen {
  readonly type: 'open';
  readonly ordered: boolean;
  readonly maxRetransmits: number | undefined;
  /** Milliseconds. */
  readonly maxPacketLifeTime: number | undefined;
  /** 16 bits (RFC 8831 §6.4). */
  readonly priority: number;
  readonly label: string;
  readonly protocol: string;
}

/** DATA_CHANNEL_ACK: the channel's setup is complete. */
export interface DcepAck {
  readonly type: 'ack';
}

/** A message of the Data Channel Establishment Protocol. */
export type DcepMessage = DcepOpen | DcepAck;

/**
 * Decodes one DCEP message, a whole SCTP user message with PPID 50 (RFC 8832 §5). The reliability parameter of a reliable
 * channel is ignored (RFC 8832 §5.1).
 * @throws {DecodeError} `too-short`, `trailing-bytes`; `bad-type` unknown message; `bad-value` unknown channel type or
 * text that is not UTF-8.
 */
export function decodeDcep(bytes: Uint8Array): DcepMessage {
  const r = new ByteReader(bytes);
  const messageType = r.u8('message type');
  if (messageType === DCEP_ACK) {
    r.expectEnd('DATA_CHANNEL_ACK');
    return { type: 'ack' };
  }
  if (messageType !== DCEP_OPEN) throw new DecodeError('bad-type', 'message type', 0);
  const channelType = r.u8('channel type');
  const priority = r.u16('priority');
  const reliability = r.u32('reliability parameter');
  const labelLength = r.u16('label length');
  const protocolLength = r.u16('protocol length');
  const kind = channelType & ~UNORDERED;
  if (kind > PARTIAL_RELIABLE_TIMED) throw new DecodeError('bad-value', 'channel type', 1);
  const label = r.utf8(labelLength, 'label');
  const protocol = r.utf8(protocolLength, 'protocol');
  r.expectEnd('DATA_CHANNEL_OPEN');
  return {
    type: 'open',
    ordered: (channelType & UNORDERED) === 0,
    maxRetransmits: kind === PARTIAL_RELIABLE_REXMIT ? reliability : undefined,
    maxPacketLifeTime: kind === PARTIAL_RELIABLE_TIMED ? reliability : undefined,
    priority,
    label,
    protocol,
  };
}

/**
 * Inverse of {@link decodeDcep}, into new bytes. Lone surrogates in the texts become U+FFFD.
 * The caller has checked the ranges: label and protocol of at most 65,535 bytes each, and not both limits.
 */
export function encodeDcep(message: DcepMessage): Uint8Array {
  if (message.type === 'ack') return Uint8Array.of(DCEP_ACK);
  const label = utf8(message.label);
  const protocol = utf8(message.protocol);
  const w = new ByteWriter(new Uint8Array(OPEN_HEADER_BYTES + label.length + protocol.length));
  const { maxRetransmits, maxPacketLifeTime } = message;
  const kind =
    maxRetransmits !== undefined
      ? PARTIAL_RELIABLE_REXMIT
      : maxPacketLifeTime !== undefined
        ? PARTIAL_RELIABLE_TIMED
        : RELIABLE;
  w.u8(DCEP_OPEN);
  w.u8(message.ordered ? kind : kind | UNORDERED);
  w.u16(message.priority);
  // RFC 8832 §5.1: 0 for reliable channels on the sending side.
  w.u32(maxRetransmits ?? maxPacketLifeTime ?? 0);
  w.u16(label.length);
  w.u16(protocol.length);
  w.bytes(label);
  w.bytes(protocol);
  return w.written();
}

/** One line for logs, without label and protocol, which are the application's. */
export function describeDcep(message: DcepMessage): string {
  if (message.type === 'ack') return 'DATA_CHANNEL_ACK';
  const limit =
    message.maxRetransmits !== undefined
      ? `, at most ${message.maxRetransmits} retransmissions`
      : message.maxPacketLifeTime !== undefined
        ? `, at most ${message.maxPacketLifeTime} ms`
        : '';
  return `DATA_CHANNEL_OPEN ${message.ordered ? 'ordered' : 'unordered'}${limit}, priority ${message.priority}`;
}
