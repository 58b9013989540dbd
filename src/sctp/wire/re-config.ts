import { DecodeError } from '../../core/index.ts';
import { CHUNK } from './registry.ts';
import { buildChunk, padded, readTlvs, TLV_HEADER_BYTES, type Tlv, u16, u32 } from './tlv.ts';

/**
 * RE-CONFIG (RFC 6525 §3.1): one or two parameters of §4.
 *
 * ```text
 *  13 Outgoing SSN Reset   | request seq | response seq | sender's last TSN | stream … (16 bits each, none = all)
 *  14 Incoming SSN Reset   | request seq | stream …
 *  15 SSN/TSN Reset        | request seq |
 *  16 Response             | response seq | result | (sender's next TSN | receiver's next TSN)
 *  17 Add Outgoing Streams | request seq | number (16) | reserved (16)
 *  18 Add Incoming Streams | request seq | number (16) | reserved (16)
 * ```
 * All fields are 32 bits unless noted.
 */
export type ReConfigParameter =
  | {
      readonly type: 'outgoing-reset';
      readonly requestSeq: number;
      readonly responseSeq: number;
      readonly lastTsn: number;
      readonly streamIds: readonly number[];
    }
  | { readonly type: 'incoming-reset'; readonly requestSeq: number; readonly streamIds: readonly number[] }
  | { readonly type: 'tsn-reset'; readonly requestSeq: number }
  | { readonly type: 'response'; readonly responseSeq: number; readonly result: number }
  | { readonly type: 'add-outgoing'; readonly requestSeq: number; readonly count: number }
  | { readonly type: 'add-incoming'; readonly requestSeq: number; readonly count: number };

/** A request: everything but a response. */
export type ReConfigRequest = Exclude<ReConfigParameter, { readonly type: 'response' }>;

/** Result codes (RFC 6525 §4.4). */
export const RESULT = {
  NOTHING_TO_DO: 0,
  PERFORMED: 1,
  DENIED: 2,
  WRONG_SSN: 3,
  ALREADY_IN_PROGRESS: 4,
  BAD_SEQUENCE_NUMBER: 5,
  IN_PROGRESS: 6,
} as const;

const TYPE = { OUTGOING: 13, INCOMING: 14, TSN: 15, RESPONSE: 16, ADD_OUTGOING: 17, ADD_INCOMING: 18 } as const;

/**
 * Decodes a RE-CONFIG chunk in `bytes[at, end)`.
 * @throws {DecodeError} `missing` without a parameter, `too-many` with more than two, `too-short`, `bad-length`,
 *   `bad-type` for a parameter that is not one of RFC 6525 §4.
 */
export function decodeReConfig(bytes: Uint8Array, at: number, end: number): ReConfigParameter[] {
  const list = readTlvs(bytes, at + TLV_HEADER_BYTES, end);
  if (list.length === 0) throw new DecodeError('missing', 'RE-CONFIG parameter', at);
  if (list.length > 2) throw new DecodeError('too-many', 'RE-CONFIG parameters', at);
  return list.map((tlv) => decodeParameter(tlv, at));
}

function decodeParameter({ type, value }: Tlv, at: number): ReConfigParameter {
  const need = type === TYPE.OUTGOING ? 12 : type === TYPE.TSN || type === TYPE.INCOMING ? 4 : 8;
  if (value.length < need) throw new DecodeError('too-short', 'RE-CONFIG parameter', at);
  const requestSeq = u32(value, 0);
  switch (type) {
    case TYPE.OUTGOING:
      return {
        type: 'outgoing-reset',
        requestSeq,
        responseSeq: u32(value, 4),
        lastTsn: u32(value, 8),
        streamIds: streamList(value, 12, at),
      };
    case TYPE.INCOMING:
      return { type: 'incoming-reset', requestSeq, streamIds: streamList(value, 4, at) };
    case TYPE.TSN:
      return { type: 'tsn-reset', requestSeq };
    case TYPE.RESPONSE:
      return { type: 'response', responseSeq: requestSeq, result: u32(value, 4) };
    case TYPE.ADD_OUTGOING:
      return { type: 'add-outgoing', requestSeq, count: u16(value, 4) };
    case TYPE.ADD_INCOMING:
      return { type: 'add-incoming', requestSeq, count: u16(value, 4) };
    default:
      throw new DecodeError('bad-type', 'RE-CONFIG parameter', at);
  }
}

function streamList(value: Uint8Array, from: number, at: number): number[] {
  if ((value.length - from) % 2 !== 0) throw new DecodeError('bad-length', 'stream list', at);
  const ids: number[] = [];
  for (let i = from; i < value.length; i += 2) ids.push(u16(value, i));
  return ids;
}

/** Encodes a RE-CONFIG chunk with one or two parameters. */
export function encodeReConfig(parameters: readonly ReConfigParameter[]): Uint8Array {
  const size = parameters.reduce((sum, p) => sum + 20 + ('streamIds' in p ? padded(2 * p.streamIds.length) : 0), 0);
  return buildChunk(CHUNK.RE_CONFIG, 0, size, (w) => {
    for (const p of parameters) {
      w.pad4();
      const start = w.pos;
      w.u32(0); // type and length, written when the length is known
      w.u32(p.type === 'response' ? p.responseSeq : p.requestSeq);
      let type: number = TYPE.TSN;
      if (p.type === 'outgoing-reset') {
        type = TYPE.OUTGOING;
        w.u32(p.responseSeq);
        w.u32(p.lastTsn);
        for (const id of p.streamIds) w.u16(id);
      } else if (p.type === 'incoming-reset') {
        type = TYPE.INCOMING;
        for (const id of p.streamIds) w.u16(id);
      } else if (p.type === 'response') {
        type = TYPE.RESPONSE;
        w.u32(p.result);
      } else if (p.type !== 'tsn-reset') {
        type = p.type === 'add-outgoing' ? TYPE.ADD_OUTGOING : TYPE.ADD_INCOMING;
        w.u16(p.count);
        w.u16(0);
      }
      w.patchU16(start, type);
      w.patchU16(start + 2, w.pos - start);
    }
  });
}
