import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, DecodeError, hexToBytes } from '../../src/core/index.ts';
import { decodeInit, encodeInit, type InitChunk } from '../../src/sctp/wire/init.ts';
import { checkPacket, checksumMatches, portsMatch, verificationTag } from '../../src/sctp/wire/packet.ts';
import { chunkName, unknownAction } from '../../src/sctp/wire/registry.ts';
import { writePad } from '../../src/sctp/wire/simple.ts';
import { checkFraming, readTlvs } from '../../src/sctp/wire/tlv.ts';
import vectors from '../vectors/rfc9260/chunks.json' with { type: 'json' };
import usrsctp from '../vectors/sctp/usrsctp-init.json' with { type: 'json' };
import { roundTrip } from './round-trip.ts';

describe('chunk codecs', () => {
  it.each(vectors.cases)('$name decodes and re-encodes to the same bytes', (v) => {
    const wire = hexToBytes(v.hex);
    const { fields, again } = roundTrip(v.kind, wire);
    expect(fields).toEqual(v.fields);
    expect(bytesToHex(again)).toBe(bytesToHex(wire));
  });

  it.each(usrsctp.cases)('$name', (v) => {
    const packet = hexToBytes(v.hex);
    checkPacket(packet);
    expect(checksumMatches(packet)).toBe(true);
    expect(portsMatch(packet, 5000, 5000)).toBe(true);
    expect(verificationTag(packet)).toBe(0);
    const init = decodeInit(packet, 12, 12 + 86);
    const { initiateTag, aRwnd, outboundStreams, inboundStreams, initialTsn } = v;
    expect(init).toMatchObject({ initiateTag, aRwnd, outboundStreams, inboundStreams, initialTsn });
    expect(init.parameters).toMatchObject({
      extensions: v.extensions,
      forwardTsn: true,
      hostName: false,
      unrecognized: [],
    });
  });

  it('INIT ACK carries everything there and back', () => {
    const init: InitChunk = {
      initiateTag: 0xdeadbeef,
      aRwnd: 4096,
      outboundStreams: 1,
      inboundStreams: 65_535,
      initialTsn: 0xffff_ffff,
      parameters: {
        cookie: Uint8Array.of(1, 2, 3, 4, 5),
        extensions: [130, 192, 64],
        forwardTsn: true,
        zeroChecksumMethod: 1,
        unrecognized: [],
        hostName: false,
      },
    };
    const wire = encodeInit(2, init);
    checkFraming(wire, 0, wire.length);
    expect(decodeInit(wire, 0, wire.length)).toEqual(init);
  });

  it.each([
    ['3fff0004', []], // stop silently
    ['7fff0005aa', ['7fff0005aa']], // stop and report
    ['bfff0004', ['ffff0004']], // skip silently, so the next one is seen
    ['ffff0006abcd', ['ffff0006abcd', 'ffff0004']], // skip and report
  ])('the high bits of an unknown parameter %s (RFC 9260 §3.2.1)', (hex, reported) => {
    const head = '010000ff00000001000100000001000100000001';
    const padding = '00'.repeat((4 - ((hex.length / 2) & 3)) & 3);
    const wire = hexToBytes(`${head}${hex}${padding}ffff0004`);
    const { parameters } = decodeInit(wire, 0, wire.length);
    expect(parameters.unrecognized?.map((bytes) => bytesToHex(bytes))).toEqual(reported);
  });

  it('a second state cookie is refused', () => {
    const wire = hexToBytes('0200002400000001000100000001000100000001 0007000801020304 0007000801020304');
    expect(() => decodeInit(wire, 0, wire.length)).toThrow(expect.objectContaining({ reason: 'duplicate' }));
  });

  it('PAD fills exactly what it is told to', () => {
    const bytes = new Uint8Array(16).fill(0xff);
    writePad(bytes, 4, 8);
    expect(bytesToHex(bytes)).toBe('ffffffff8400000800000000ffffffff');
  });

  it('names and unknown actions', () => {
    expect([chunkName(0), chunkName(194), chunkName(77)]).toEqual(['DATA', 'I FORWARD TSN', 'chunk type 77']);
    expect(unknownAction(2)).toEqual({ skip: true, report: false });
  });

  it.each(['data', 'sack', 'forward', 'reconfig', 'heartbeat', 'shutdown', 'error'])(
    'arbitrary %s chunks are refused with DecodeError or survive a round trip',
    (kind) => {
      const types: Record<string, number[]> = {
        data: [0, 64],
        sack: [3],
        forward: [192, 194],
        reconfig: [130],
        heartbeat: [4],
        shutdown: [7],
        error: [9],
      };
      fc.assert(
        fc.property(fc.uint8Array({ minLength: 4, maxLength: 64 }), fc.nat(1), (bytes, which) => {
          const list = types[kind]!;
          bytes[0] = list[which % list.length]!;
          bytes[2] = 0;
          bytes[3] = bytes.length;
          try {
            const { fields, again } = roundTrip(kind, bytes);
            expect(roundTrip(kind, again).fields).toEqual(fields); // what is written reads the same
          } catch (error) {
            if (!(error instanceof DecodeError)) throw error;
          }
        }),
      );
    },
  );

  it('framing never walks out of its range nor stands still', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        try {
          const count = checkFraming(bytes, 0, bytes.length);
          expect(readTlvs(bytes, 0, bytes.length).length).toBe(count);
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
      }),
    );
  });
});
