import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesToHex, hexToBytes, utf8 } from '../../src/core/index.ts';
import { openPcap, pcapHeader, pcapRecord, udpPacket } from '../../src/io/index.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'purertc-pcap-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** RFC 1071 §1: over a part that carries its own checksum the ones' complement sum is all ones. */
function onesComplementSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

describe('pcap', () => {
  it('puts IPv4 and UDP headers around a datagram', () => {
    const packet = udpPacket('192.0.2.1:5000', '192.0.2.2:3478', utf8('abc'));
    expect(bytesToHex(packet)).toMatch(/^4500001f000040004011....c0000201c000020213880d96000b....616263$/);
    expect(onesComplementSum(packet.subarray(0, 20))).toBe(0xffff);
    const pseudo = Uint8Array.of(...packet.subarray(12, 20), 0, 17, 0, 11, ...packet.subarray(20));
    expect(onesComplementSum(pseudo)).toBe(0xffff);
  });

  it('puts IPv6 and UDP headers around a datagram', () => {
    const packet = udpPacket('[2001:db8::1]:5000', '[fe80::2%eth0]:3478', utf8('abcd'));
    expect(bytesToHex(packet)).toMatch(/^60000000000c1140(20010db80{23}1)(fe800{27}2)13880d96000c....61626364$/);
    const pseudo = Uint8Array.of(...packet.subarray(8, 40), 0, 0, 0, 12, 0, 0, 0, 17, ...packet.subarray(40));
    expect(onesComplementSum(pseudo)).toBe(0xffff);
  });

  it.each(['192.0.2.1', 'localhost:80', '192.0.2.1:x', '[::1]', ''])('refuses %j as an address', (text) => {
    expect(() => udpPacket(text, '192.0.2.2:1', utf8(''))).toThrow(TypeError);
  });

  it('refuses addresses of two families', () => {
    expect(() => udpPacket('192.0.2.1:1', '[::1]:1', utf8(''))).toThrow(TypeError);
  });

  it('writes a file header and records with microseconds', () => {
    expect(pcapHeader()).toEqual(hexToBytes('d4c3b2a1020004000000000000000000ffff000065000000'));
    expect(pcapRecord(Uint8Array.of(1, 2, 3), 1_700_000_000_123.5)).toEqual(
      hexToBytes('00f153656ce201000300000003000000010203'),
    );
  });

  it('keeps what was sent and received, in order, until it is closed', () => {
    const path = join(folder, 'x.pcap');
    const pcap = openPcap(path);
    pcap.onDatagram('out', utf8('ping'), '127.0.0.1:1', '127.0.0.1:2', 1);
    pcap.onDatagram('in', utf8('pong'), '127.0.0.1:1', '127.0.0.1:2', 2);
    pcap.close();
    pcap.close();
    pcap.onDatagram('out', utf8('late'), '127.0.0.1:1', '127.0.0.1:2', 3);
    const file = readFileSync(path);
    expect(file.length).toBe(24 + 2 * (16 + 28 + 4));
    const ports = [24, 24 + 48].map((at) => [file.readUInt16BE(at + 16 + 20), file.readUInt16BE(at + 16 + 22)]);
    expect(ports).toEqual([
      [1, 2],
      [2, 1],
    ]);
    expect(file.subarray(-4).toString()).toBe('pong');
  });
});
