import { type ByteReader, type ByteWriter, DecodeError, type WireAddress } from '../core/index.ts';
import { MAGIC_COOKIE } from './message-type.ts';

/** Address family numbers of RFC 8489 §14.1. Not those of the operating system. */
export const FAMILY_IPV4 = 0x01;
export const FAMILY_IPV6 = 0x02;

/*
 * MAPPED-ADDRESS and XOR-MAPPED-ADDRESS values (RFC 8489 §14.1, §14.2):
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |0 0 0 0 0 0 0 0|    Family     |     Port, or X-Port           |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 * |       Address, or X-Address (32 bits or 128 bits)             |
 * +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
 */

/**
 * Decodes a MAPPED-ADDRESS value (RFC 8489 §14.1). ALTERNATE-SERVER (§14.15) and, from RFC 5780 §7, RESPONSE-ORIGIN and
 * OTHER-ADDRESS share the format.
 * @param r - positioned at the attribute value, bounded to its length.
 * @returns an address with its own copy of the bytes.
 * @throws {DecodeError} `bad-value` unknown family; `too-short` / `trailing-bytes` wrong length.
 */
export function readMappedAddress(r: ByteReader): WireAddress {
  r.u8('reserved'); // MUST be ignored on receipt
  const familyAt = r.pos;
  const family = r.u8('family');
  const size = family === FAMILY_IPV4 ? 4 : family === FAMILY_IPV6 ? 16 : 0;
  if (size === 0) throw new DecodeError('bad-value', 'family', familyAt);
  const port = r.u16('port');
  const ip = r.bytes(size, 'address').slice(); // copy: outlives the datagram
  r.expectEnd('address');
  return { ip, port };
}

/** Inverse of {@link readMappedAddress}. @param address - `ip` of 4 or 16 bytes. */
export function writeMappedAddress(w: ByteWriter, address: WireAddress): void {
  w.u8(0);
  w.u8(address.ip.length === 4 ? FAMILY_IPV4 : FAMILY_IPV6);
  w.u16(address.port);
  w.bytes(address.ip);
}

/**
 * Decodes a XOR-MAPPED-ADDRESS value (RFC 8489 §14.2). Also XOR-PEER-ADDRESS and XOR-RELAYED-ADDRESS, which share
 * the format (RFC 8656 §18.3, §18.5).
 * @param r - positioned at the attribute value, bounded to its length.
 * @param transactionId - 12 bytes; masks the last 96 bits of an IPv6 address.
 * @throws {DecodeError} `bad-value` unknown family; `too-short` / `trailing-bytes` wrong length.
 */
export function readXorAddress(r: ByteReader, transactionId: Uint8Array): WireAddress {
  const { ip, port } = readMappedAddress(r);
  maskIp(ip, 0, ip.length, transactionId);
  return { ip, port: port ^ (MAGIC_COOKIE >>> 16) };
}

/** Inverse of {@link readXorAddress}. @param address - `ip` of 4 or 16 bytes. */
export function writeXorAddress(w: ByteWriter, address: WireAddress, transactionId: Uint8Array): void {
  writeMappedAddress(w, { ip: address.ip, port: address.port ^ (MAGIC_COOKIE >>> 16) });
  maskIp(w.buf, w.pos - address.ip.length, address.ip.length, transactionId);
}

/** XORs with the cookie and, from the fifth byte on, the transaction ID. Its own inverse. */
function maskIp(buf: Uint8Array, start: number, length: number, transactionId: Uint8Array): void {
  for (let i = 0; i < length; i++) {
    const mask = i < 4 ? MAGIC_COOKIE >>> (24 - 8 * i) : transactionId[i - 4]!;
    buf[start + i] = buf[start + i]! ^ mask;
  }
}
