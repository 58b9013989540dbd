import { DecodeError, type DropReason } from '../core/index.ts';
import {
  MAX_CANDIDATE_CHARACTERS,
  MAX_MESSAGE_BYTES,
  MAX_MID_CHARACTERS,
  MAX_NAME_CHARACTERS,
  MAX_PING_ID,
  MAX_ROOM_CHARACTERS,
  MAX_SERVER_MESSAGE_BYTES,
} from './limits.ts';
import {
  type ClientMessage,
  ERROR_CODES,
  type ErrorCode,
  type PeerInfo,
  type RelayedCandidate,
  type RelayedDescription,
  type ServerMessage,
} from './messages.ts';

/*
 * Messages are JSON (RFC 8259) in UTF-8. Decoding builds each message anew from the fields it knows, so nothing that a
 * peer adds is kept or relayed. `DecodeError.offset` is 0 for fields: JSON has no useful byte position for them.
 */

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const DESCRIPTION_TYPES = ['offer', 'answer', 'pranswer', 'rollback'] as const;
const LEAVE_REASONS = ['left', 'lost'] as const;

/**
 * Reads a message of a client.
 * @param bytes - one WebSocket text message, borrowed.
 * @throws {DecodeError} `limit` longer than {@link MAX_MESSAGE_BYTES}; `bad-value` not UTF-8, not JSON or a field outside its form;
 *   `missing` a field that is not there; `bad-type` a type that this version does not have.
 */
export function decodeClientMessage(bytes: Uint8Array): ClientMessage {
  const fields = parse(bytes, MAX_MESSAGE_BYTES);
  const type = text(fields, 'type');
  switch (type) {
    case 'join':
      return {
        type,
        room: label(fields, 'room', 1, MAX_ROOM_CHARACTERS),
        name: label(fields, 'name', 0, MAX_NAME_CHARACTERS),
      };
    case 'description':
      return { type, to: peerId(fields, 'to'), description: description(fields) };
    case 'candidate':
      return { type, to: peerId(fields, 'to'), candidate: candidate(fields) };
    case 'leave':
      return { type };
    case 'ping':
      return { type, id: integer(fields, 'id', MAX_PING_ID) };
    default:
      throw new DecodeError('bad-type', 'type', 0);
  }
}

/** Reads a message of a server; the same errors as {@link decodeClientMessage}, with {@link MAX_SERVER_MESSAGE_BYTES}. */
export function decodeServerMessage(bytes: Uint8Array): ServerMessage {
  const fields = parse(bytes, MAX_SERVER_MESSAGE_BYTES);
  const type = text(fields, 'type');
  switch (type) {
    case 'welcome':
      return {
        type,
        id: peerId(fields, 'id'),
        room: label(fields, 'room', 1, MAX_ROOM_CHARACTERS),
        peers: array(fields, 'peers').map((peer) => peerInfo(record(peer, 'peers'))),
      };
    case 'peer-joined':
      return { type, peer: peerInfo(record(required(fields, 'peer'), 'peer')) };
    case 'peer-left':
      return { type, id: peerId(fields, 'id'), reason: oneOf(fields, 'reason', LEAVE_REASONS) };
    case 'description':
      return { type, from: peerId(fields, 'from'), description: description(fields) };
    case 'candidate':
      return { type, from: peerId(fields, 'from'), candidate: candidate(fields) };
    case 'pong':
      return { type, id: integer(fields, 'id', MAX_PING_ID) };
    case 'error': {
      const code: ErrorCode = oneOf(fields, 'code', ERROR_CODES);
      const message = text(fields, 'message');
      return fields['to'] === undefined ? { type, code, message } : { type, code, message, to: peerId(fields, 'to') };
    }
    default:
      throw new DecodeError('bad-type', 'type', 0);
  }
}

/** Inverse of {@link decodeClientMessage}; fields are written in the order of the types. */
export function encodeClientMessage(message: ClientMessage): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** Inverse of {@link decodeServerMessage}. */
export function encodeServerMessage(message: ServerMessage): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** A room's or peer's name as docs/signaling.md allows it. */
export function isLabel(value: string, minCharacters: number, maxCharacters: number): boolean {
  // Cheap bound first: no string of n characters has more than 2n UTF-16 units.
  if (value.length > 2 * maxCharacters || /[\p{Cc}\p{Cs}]/u.test(value)) return false;
  const characters = [...value].length;
  return characters >= minCharacters && characters <= maxCharacters;
}

type Fields = Readonly<Record<string, unknown>>;

function parse(bytes: Uint8Array, maxBytes: number): Fields {
  if (bytes.length > maxBytes) throw new DecodeError('limit', 'message', maxBytes);
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    throw new DecodeError('bad-value', 'message', 0); // not UTF-8 or not JSON
  }
  return record(value, 'message');
}

function record(value: unknown, field: string): Fields {
  if (!isRecord(value)) throw new DecodeError('bad-value', field, 0);
  return value;
}

function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function required(fields: Fields, field: string): unknown {
  if (!Object.hasOwn(fields, field)) throw new DecodeError('missing', field, 0);
  return fields[field];
}

function check(condition: boolean, field: string, reason: DropReason = 'bad-value'): asserts condition {
  if (!condition) throw new DecodeError(reason, field, 0);
}

function text(fields: Fields, field: string): string {
  const value = required(fields, field);
  check(typeof value === 'string', field);
  return value;
}

function label(fields: Fields, field: string, minCharacters: number, maxCharacters: number): string {
  const value = text(fields, field);
  check(isLabel(value, minCharacters, maxCharacters), field);
  return value;
}

function peerId(fields: Fields, field: string): string {
  const value = text(fields, field);
  check(/^[0-9a-f]{16}$/.test(value), field);
  return value;
}

function integer(fields: Fields, field: string, greatest: number): number {
  const value = required(fields, field);
  check(typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= greatest, field);
  return value === 0 ? 0 : value; // JSON has -0, which would not be written back
}

function array(fields: Fields, field: string): readonly unknown[] {
  const value = required(fields, field);
  check(Array.isArray(value), field);
  return value;
}

function oneOf<T extends string>(fields: Fields, field: string, allowed: readonly T[]): T {
  const value = text(fields, field);
  const found = allowed.find((candidate) => candidate === value);
  check(found !== undefined, field);
  return found;
}

function peerInfo(fields: Fields): PeerInfo {
  return { id: peerId(fields, 'id'), name: label(fields, 'name', 0, MAX_NAME_CHARACTERS) };
}

function description(fields: Fields): RelayedDescription {
  const inner = record(required(fields, 'description'), 'description');
  const type = oneOf(inner, 'type', DESCRIPTION_TYPES);
  const sdp = text(inner, 'sdp');
  check(type === 'rollback' || sdp !== '', 'sdp');
  return { type, sdp };
}

function candidate(fields: Fields): RelayedCandidate | null {
  const value = required(fields, 'candidate');
  if (value === null) return null;
  const inner = record(value, 'candidate');
  const line = text(inner, 'candidate');
  check(line.length <= MAX_CANDIDATE_CHARACTERS, 'candidate');
  return {
    candidate: line,
    ...optional(inner, 'sdpMid', shortText),
    ...optional(inner, 'sdpMLineIndex', (f, name) => integer(f, name, 0xffff)),
    ...optional(inner, 'usernameFragment', shortText),
  };
}

function shortText(fields: Fields, field: string): string {
  const value = text(fields, field);
  check(value.length <= MAX_MID_CHARACTERS, field);
  return value;
}

/** A member that may be absent or null. */
function optional<K extends string, T>(
  fields: Fields,
  field: K,
  read: (fields: Fields, field: string) => T,
): { readonly [P in K]?: T | null } {
  if (!Object.hasOwn(fields, field)) return {};
  const result: { [P in K]?: T | null } = {};
  result[field] = fields[field] === null ? null : read(fields, field);
  return result;
}
