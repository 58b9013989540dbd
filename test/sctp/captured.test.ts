import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bytesToHex, hexToBytes } from '../../src/core/index.ts';
import { createDataFields, readData } from '../../src/sctp/wire/data.ts';
import { decodeForwardTsn } from '../../src/sctp/wire/forward-tsn.ts';
import { decodeInit, encodeInit } from '../../src/sctp/wire/init.ts';
import { checkPacket, checksumMatches } from '../../src/sctp/wire/packet.ts';
import { decodeReConfig, type ReConfigParameter } from '../../src/sctp/wire/re-config.ts';
import { CHUNK, chunkName } from '../../src/sctp/wire/registry.ts';
import { createSackFields, duplicateTsn, gapEnd, gapStart, readSack } from '../../src/sctp/wire/sack.ts';
import {
  decodeHeartbeat,
  decodeShutdown,
  encodeCookieAck,
  encodeCookieEcho,
  encodeShutdownAck,
  encodeShutdownComplete,
} from '../../src/sctp/wire/simple.ts';
import { readTlvs, TLV_HEADER_BYTES, u16 } from '../../src/sctp/wire/tlv.ts';
import { chunksOf } from './packets.ts';
import { roundTrip } from './round-trip.ts';

/** A chunk or parameter as tshark tells it: its names without `sctp.`. test/interop/record-sctp-vectors.mjs made them. */
interface Dissected {
  readonly [field: string]: string | readonly string[] | readonly Dissected[];
}
interface Captured {
  readonly name: string;
  readonly hex: string;
  readonly chunks: readonly Dissected[];
}
/** Field names to values, in order; numbers, or bytes as hex. */
type Words = Record<string, (number | string)[]>;

const vectors = (file: string): { readonly source: string; readonly cases: readonly Captured[] } =>
  JSON.parse(readFileSync(new URL(`../vectors/sctp/${file}`, import.meta.url), 'utf8'));

/** What tshark derives from other packets, or says in words, or what we pass over without looking inside. */
const NOT_OURS =
  /^(name|data_tsn|sack_cumulative_tsn_ack|data_reserved|parameter_length|parameter_type|cause_length|.*_reserved|random_number|hmac_id|chunk_type_to_auth|chunk_value|parameter_pad.*)$/;

function flatten(chunk: Dissected, into: Words = {}): Words {
  for (const [name, value] of Object.entries(chunk)) {
    if (name === 'parameters') {
      for (const nested of value as readonly Dissected[]) flatten(nested, into);
    } else if (!NOT_OURS.test(name)) {
      for (const text of typeof value === 'string' ? [value] : (value as readonly string[])) {
        into[name] = [...(into[name] ?? []), text.includes(':') ? text.replaceAll(':', '') : Number(text)];
      }
    }
  }
  return into;
}

/** The chunk in tshark's words, out of our decoders. */
function ours(bytes: Uint8Array): Words {
  const end = bytes.length;
  const frame = { chunk_type: [bytes[0]!], chunk_flags: [bytes[1]!], chunk_length: [u16(bytes, 2)] };
  return { ...frame, ...ourValue(bytes, end) };
}

function ourValue(bytes: Uint8Array, end: number): Words {
  switch (bytes[0]) {
    case CHUNK.DATA:
    case CHUNK.I_DATA:
      return ourData(bytes, end);
    case CHUNK.INIT:
    case CHUNK.INIT_ACK: {
      const name = bytes[0] === CHUNK.INIT ? 'init' : 'initack';
      const init = decodeInit(bytes, 0, end);
      const { cookie, extensions } = init.parameters;
      expect(init.parameters.forwardTsn).toBe(true);
      return {
        [`${name}_initiate_tag`]: [init.initiateTag],
        [`${name}_credit`]: [init.aRwnd],
        [`${name}_nr_out_streams`]: [init.outboundStreams],
        [`${name}_nr_in_streams`]: [init.inboundStreams],
        [`${name}_initial_tsn`]: [init.initialTsn],
        ...(cookie !== undefined && { parameter_state_cookie: [bytesToHex(cookie)] }),
        supported_chunk_type: [...(extensions ?? [])],
      };
    }
    case CHUNK.SACK:
      return ourSack(bytes, end);
    case CHUNK.FORWARD_TSN:
    case CHUNK.I_FORWARD_TSN: {
      const chunk = decodeForwardTsn(bytes, 0, end);
      const streams = chunk.skipped.map((entry) => entry.streamId);
      const numbers = chunk.skipped.map((entry) => entry.messageNumber);
      const flags = chunk.skipped.map((entry) => (entry.unordered ? 1 : 0));
      if (chunk.interleaved) {
        const lists = { i_forward_tsn_sid: streams, i_forward_tsn_flags: flags, forward_tsn_mid: numbers };
        return { i_forward_tsn_tsn: [chunk.newCumulativeTsn], ...(streams.length > 0 && lists) };
      }
      const lists = { forward_tsn_sid: streams, forward_tsn_ssn: numbers };
      return { forward_tsn_tsn: [chunk.newCumulativeTsn], ...(streams.length > 0 && lists) };
    }
    case CHUNK.RE_CONFIG:
      return decodeReConfig(bytes, 0, end).map(ourReConfig).reduce(join, {});
    case CHUNK.HEARTBEAT:
    case CHUNK.HEARTBEAT_ACK:
      return { parameter_heartbeat_information: [bytesToHex(decodeHeartbeat(bytes, 0, end))] };
    case CHUNK.COOKIE_ECHO:
      return { cookie: [bytesToHex(bytes.subarray(TLV_HEADER_BYTES, end))] };
    case CHUNK.SHUTDOWN:
      return { shutdown_cumulative_tsn_ack: [decodeShutdown(bytes, 0, end)] };
    case CHUNK.ABORT:
    case CHUNK.ERROR:
      return readTlvs(bytes, TLV_HEADER_BYTES, end).map(ourCause).reduce(join, {});
    default:
      return {};
  }
}

function ourData(bytes: Uint8Array, end: number): Words {
  const data = createDataFields();
  readData(bytes, 0, end, data);
  const begins = (data.flags & 2) !== 0;
  const common = { data_tsn_raw: [data.tsn], data_sid: [data.streamId] };
  if (!data.interleaved) return { ...common, data_ssn: [data.messageNumber], data_payload_proto_id: [data.ppid] };
  const last = begins ? { data_payload_proto_id: [data.ppid] } : { data_fsn: [data.fragmentNumber] };
  return { ...common, data_mid: [data.messageNumber], ...last };
}

function ourSack(bytes: Uint8Array, end: number): Words {
  const sack = createSackFields();
  readSack(bytes, 0, end, sack);
  const blocks = Array.from({ length: sack.gapBlocks }, (_, i) => i);
  const duplicates = Array.from({ length: sack.duplicates }, (_, i) => duplicateTsn(sack, i));
  return {
    sack_cumulative_tsn_ack_raw: [sack.cumulativeTsnAck],
    sack_a_rwnd: [sack.aRwnd],
    sack_number_of_gap_blocks: [sack.gapBlocks],
    sack_number_of_duplicated_tsns: [sack.duplicates],
    ...(blocks.length > 0 && {
      sack_gap_block_start: blocks.map((i) => gapStart(sack, i)),
      sack_gap_block_end: blocks.map((i) => gapEnd(sack, i)),
    }),
    ...(duplicates.length > 0 && { sack_duplicate_tsn: duplicates }),
  };
}

function ourReConfig(p: ReConfigParameter): Words {
  const prefix = 'parameter_reconfig_';
  if (p.type === 'response') {
    return { [`${prefix}response_sequence_number`]: [p.responseSeq], [`${prefix}response_result`]: [p.result] };
  }
  const request = { [`${prefix}request_sequence_number`]: [p.requestSeq] };
  if (p.type === 'tsn-reset') return request;
  if (p.type === 'add-outgoing') return { ...request, parameter_add_outgoing_streams_number: [p.count] };
  if (p.type === 'add-incoming') return { ...request, parameter_add_incoming_streams_number: [p.count] };
  const streams = { [`${prefix}sid`]: [...p.streamIds] };
  if (p.type === 'incoming-reset') return { ...request, ...streams };
  return {
    ...request,
    [`${prefix}response_sequence_number`]: [p.responseSeq],
    parameter_senders_last_assigned_tsn: [p.lastTsn],
    ...streams,
  };
}

/** A cause; of one that quotes a chunk tshark tells the chunk's header too. */
function ourCause({ type, value }: { readonly type: number; readonly value: Uint8Array }): Words {
  if (type !== 6) return { cause_code: [type], cause_information: [bytesToHex(value)] };
  const quoted = { chunk_type: [9, value[0]!], chunk_flags: [0, value[1]!], chunk_length: [24, u16(value, 2)] };
  return { cause_code: [type], ...quoted };
}

function join(all: Words, next: Words): Words {
  const joined = { ...all };
  for (const [name, values] of Object.entries(next)) joined[name] = [...(joined[name] ?? []), ...values];
  return joined;
}

const KINDS: ReadonlyMap<number, string> = new Map([
  [CHUNK.DATA, 'data'],
  [CHUNK.I_DATA, 'data'],
  [CHUNK.SACK, 'sack'],
  [CHUNK.FORWARD_TSN, 'forward'],
  [CHUNK.I_FORWARD_TSN, 'forward'],
  [CHUNK.RE_CONFIG, 'reconfig'],
  [CHUNK.HEARTBEAT, 'heartbeat'],
  [CHUNK.HEARTBEAT_ACK, 'heartbeat'],
  [CHUNK.SHUTDOWN, 'shutdown'],
  [CHUNK.ABORT, 'error'],
  [CHUNK.ERROR, 'error'],
]);

function encodeAgain(bytes: Uint8Array): Uint8Array {
  switch (bytes[0]) {
    case CHUNK.INIT:
    case CHUNK.INIT_ACK:
      return encodeInit(bytes[0], decodeInit(bytes, 0, bytes.length));
    case CHUNK.COOKIE_ECHO:
      return encodeCookieEcho(bytes.subarray(TLV_HEADER_BYTES));
    case CHUNK.COOKIE_ACK:
      return encodeCookieAck();
    case CHUNK.SHUTDOWN_ACK:
      return encodeShutdownAck();
    case CHUNK.SHUTDOWN_COMPLETE:
      return encodeShutdownComplete(bytes[1]!);
    default:
      return roundTrip(KINDS.get(bytes[0]!) ?? 'unknown', bytes).again;
  }
}

describe.each(['chromium.json', 'usrsctp.json'])('packets captured from a peer: %s', (file) => {
  const { cases } = vectors(file);

  it.each(cases)('$name', ({ hex, chunks: dissected }) => {
    const packet = hexToBytes(hex);
    checkPacket(packet);
    expect(checksumMatches(packet)).toBe(true);
    const chunks = chunksOf(packet);
    expect(chunks.length).toBe(dissected.length);
    for (const [i, { type, bytes }] of chunks.entries()) {
      expect(ours(bytes)).toEqual(flatten(dissected[i]!));
      // An INIT of usrsctp has parameters of extensions that are not ours: what we would write is shorter.
      const isForeign = file === 'usrsctp.json' && (type === CHUNK.INIT || type === CHUNK.INIT_ACK);
      const again = encodeAgain(bytes);
      if (isForeign) expect(decodeInit(again, 0, again.length)).toEqual(decodeInit(bytes, 0, bytes.length));
      else expect(bytesToHex(again), chunkName(type)).toBe(bytesToHex(bytes));
    }
  });
});

it('the captures hold every chunk that the two peers send', () => {
  const all = ['chromium.json', 'usrsctp.json'].flatMap((file) => vectors(file).cases);
  const types = new Set(all.flatMap(({ hex }) => chunksOf(hexToBytes(hex)).map((chunk) => chunk.type)));
  const { CWR, ECNE, PAD, ...sent } = CHUNK;
  expect([...types].sort((a, b) => a - b)).toEqual(Object.values(sent).sort((a, b) => a - b));
  expect([CWR, ECNE, PAD].some((type) => types.has(type))).toBe(false);
});
