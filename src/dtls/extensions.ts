import { ByteReader, concatBytes, DecodeError, EMPTY, utf8 } from '../core/index.ts';
import { opaque8, opaque16, readOpaque8, readOpaque16, readU16List, u8, u16, u16s } from './wire.ts';

/** One extension, undecoded: those that nobody knows, GREASE among them (RFC 8701), stay as they are. */
export interface Extension {
  readonly type: number;
  readonly data: Uint8Array;
}

/**
 * The extensions block at the end of a hello (RFC 5246 §7.4.1.4); undefined when the message ends before it.
 * How many there may be the length of the message bounds: a peer may offer any number that we do not know.
 * @throws {DecodeError} `duplicate` type; `too-short`; `trailing-bytes`.
 */
export function readExtensions(r: ByteReader): readonly Extension[] | undefined {
  if (r.remaining === 0) return undefined;
  const block = r.sub(r.u16('extensions'), 'extensions');
  r.expectEnd('extensions');
  const extensions: Extension[] = [];
  const seen = new Set<number>();
  while (block.remaining > 0) {
    const at = block.pos;
    const type = block.u16('extension_type');
    // RFC 5246 §7.4.1.4: "There MUST NOT be more than one extension of the same type."
    if (seen.has(type)) throw new DecodeError('duplicate', 'extension_type', at);
    seen.add(type);
    extensions.push({ type, data: readOpaque16(block, 'extension_data') });
  }
  return extensions;
}

/** Inverse of {@link readExtensions}. */
export function encodeExtensions(extensions: readonly Extension[] | undefined): Uint8Array {
  if (extensions === undefined) return EMPTY;
  return opaque16(...extensions.map((e) => concatBytes(u16(e.type), opaque16(e.data))));
}

export function findExtension(extensions: readonly Extension[] | undefined, type: number): Uint8Array | undefined {
  return extensions?.find((e) => e.type === type)?.data;
}

/** Runs a reader over the whole of an extension's data. */
function whole<T>(data: Uint8Array, field: string, read: (r: ByteReader) => T): T {
  const r = new ByteReader(data);
  const value = read(r);
  r.expectEnd(field);
  return value;
}

/** An extension without content (RFC 7627 §5.1). @throws {DecodeError} `trailing-bytes`. */
export function expectEmpty(data: Uint8Array, field: string): void {
  new ByteReader(data).expectEnd(field);
}

/** A non-empty list of 16-bit code points with a 16-bit length: supported_groups, signature_algorithms. */
export function decodeCodeList(data: Uint8Array, field: string): readonly number[] {
  return whole(data, field, (r) => {
    const list = readU16List(r.sub(r.u16(field), field), field);
    if (list.length === 0) throw new DecodeError('bad-length', field, 0);
    return list;
  });
}

export function encodeCodeList(codes: readonly number[]): Uint8Array {
  return opaque16(u16s(codes));
}

/** ec_point_formats (RFC 8422 §5.1.2). */
export function decodePointFormats(data: Uint8Array): readonly number[] {
  return whole(data, 'ec_point_formats', (r) => {
    const formats = [...readOpaque8(r, 'ec_point_formats')];
    if (formats.length === 0) throw new DecodeError('bad-length', 'ec_point_formats', 0);
    return formats;
  });
}

export function encodePointFormats(formats: readonly number[]): Uint8Array {
  return opaque8(Uint8Array.from(formats));
}

/** renegotiated_connection of RFC 5746 §3.2; empty in an initial handshake. */
export function decodeRenegotiationInfo(data: Uint8Array): Uint8Array {
  return whole(data, 'renegotiated_connection', (r) => readOpaque8(r, 'renegotiated_connection'));
}

export function encodeRenegotiationInfo(renegotiatedConnection: Uint8Array): Uint8Array {
  return opaque8(renegotiatedConnection);
}

/** use_srtp (RFC 5764 §4.1.1). */
export interface UseSrtp {
  readonly profiles: readonly number[];
  readonly mki: Uint8Array;
}

export function decodeUseSrtp(data: Uint8Array): UseSrtp {
  return whole(data, 'use_srtp', (r) => {
    const profiles = readU16List(r.sub(r.u16('SRTPProtectionProfiles'), 'SRTPProtectionProfiles'), 'profile');
    if (profiles.length === 0) throw new DecodeError('bad-length', 'SRTPProtectionProfiles', 0);
    return { profiles, mki: readOpaque8(r, 'srtp_mki') };
  });
}

export function encodeUseSrtp(value: UseSrtp): Uint8Array {
  return concatBytes(encodeCodeList(value.profiles), opaque8(value.mki));
}

/** ProtocolNameList (RFC 7301 §3.1): at least one name, none empty. */
export function decodeAlpn(data: Uint8Array): readonly string[] {
  return whole(data, 'protocol_name_list', (r) => {
    const list = r.sub(r.u16('protocol_name_list'), 'protocol_name_list');
    const names: string[] = [];
    while (list.remaining > 0) {
      const length = list.u8('protocol_name');
      if (length === 0) throw new DecodeError('bad-length', 'protocol_name', list.pos - 1);
      names.push(latin1(list.bytes(length, 'protocol_name')));
    }
    if (names.length === 0) throw new DecodeError('bad-length', 'protocol_name_list', 0);
    return names;
  });
}

export function encodeAlpn(names: readonly string[]): Uint8Array {
  return opaque16(...names.map((name) => opaque8(fromLatin1(name))));
}

/** Protocol names are opaque bytes (RFC 7301 §3.1, GREASE among them): one character a byte keeps all of them apart. */
function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function fromLatin1(text: string): Uint8Array {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

const NAME_TYPE_HOST_NAME = 0;

/**
 * ServerNameList (RFC 6066 §3): the host name, the only type there is, "represented as a byte string using ASCII encoding".
 * @throws {DecodeError} `bad-value` for another type, a second name, and characters that no host name has (a NUL would end it for
 *   some, and escape codes would reach logs); `bad-length` for an empty one.
 */
export function decodeServerName(data: Uint8Array): string {
  return whole(data, 'server_name_list', (r) => {
    const list = r.sub(r.u16('server_name_list'), 'server_name_list');
    if (list.u8('name_type') !== NAME_TYPE_HOST_NAME) throw new DecodeError('bad-value', 'name_type', 2);
    const length = list.u16('HostName');
    if (length === 0) throw new DecodeError('bad-length', 'HostName', 3);
    const name = list.utf8(length, 'HostName');
    if (!/^[!-~]+$/.test(name)) throw new DecodeError('bad-value', 'HostName', 5);
    if (list.remaining > 0) throw new DecodeError('bad-value', 'server_name_list', list.pos);
    return name;
  });
}

export function encodeServerName(name: string): Uint8Array {
  return opaque16(u8(NAME_TYPE_HOST_NAME), opaque16(utf8(name)));
}

/** record_size_limit (RFC 8449 §4). @throws {DecodeError} `bad-value` below 64: "MUST treat … as a fatal error". */
export function decodeRecordSizeLimit(data: Uint8Array): number {
  return whole(data, 'record_size_limit', (r) => {
    const limit = r.u16('record_size_limit');
    if (limit < 64) throw new DecodeError('bad-value', 'record_size_limit', 0);
    return limit;
  });
}

export function encodeRecordSizeLimit(limitBytes: number): Uint8Array {
  return u16(limitBytes);
}

/** connection_id (RFC 9146 §3): what the sender wants to find in records sent to it; may be empty. */
export function decodeConnectionId(data: Uint8Array): Uint8Array {
  return whole(data, 'cid', (r) => readOpaque8(r, 'cid'));
}

export function encodeConnectionId(cid: Uint8Array): Uint8Array {
  return opaque8(cid);
}

/** supported_versions of a ClientHello (RFC 8446 §4.2.1). */
export function decodeSupportedVersions(data: Uint8Array): readonly number[] {
  return whole(data, 'supported_versions', (r) => {
    const versions = readU16List(r.sub(r.u8('versions'), 'versions'), 'version');
    if (versions.length === 0) throw new DecodeError('bad-length', 'versions', 0);
    return versions;
  });
}

export function encodeSupportedVersions(versions: readonly number[]): Uint8Array {
  return opaque8(u16s(versions));
}
