import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, createTransmitSlot, DecodeError, hexToBytes } from '../../src/core/index.ts';
import {
  CHANNEL_DATA_HEADER_BYTES,
  channelDataLength,
  channelNumber,
  isChannelData,
  MAX_LEGACY_CHANNEL,
  wrapChannelData,
} from '../../src/turn/index.ts';
import vectors from '../vectors/rfc8656/channel-data.json' with { type: 'json' };

function wrap(data: Uint8Array, channel: number, padded: boolean): Uint8Array {
  const slot = createTransmitSlot<undefined>(2000);
  slot.buffer.fill(0xee);
  slot.buffer.set(data, slot.offset);
  slot.length = data.length;
  wrapChannelData(slot, channel, padded);
  expect(slot.buffer[slot.offset + slot.length]).toBe(0xee); // nothing behind was touched
  return slot.buffer.slice(slot.offset, slot.offset + slot.length);
}

describe('ChannelData (RFC 8656 §12.4)', () => {
  it.each(vectors.cases)('$name decodes and re-encodes to the same bytes', ({ wire, channel, data, padded }) => {
    const bytes = hexToBytes(wire);
    const length = channelDataLength(bytes);
    expect(channelNumber(bytes)).toBe(channel);
    const content = bytes.subarray(CHANNEL_DATA_HEADER_BYTES, CHANNEL_DATA_HEADER_BYTES + length);
    expect(bytesToHex(content)).toBe(data);
    expect(bytesToHex(wrap(content, channel, padded))).toBe(wire);
  });

  it.each(vectors.malformed)('$name is refused as $reason', ({ wire, reason }) => {
    expect(() => channelDataLength(hexToBytes(wire))).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });

  it('the first byte alone tells (RFC 7983)', () => {
    const yes = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => isChannelData(byte));
    expect([yes[0], yes.at(-1), yes.length]).toEqual([64, 79, 16]);
    expect([
      isChannelData(0x50),
      isChannelData(0x7f, MAX_LEGACY_CHANNEL),
      isChannelData(0x80, MAX_LEGACY_CHANNEL),
    ]).toEqual([
      false, // RFC 8656
      true, // RFC 5766
      false,
    ]);
  });

  it('any bytes either decode, and come back, or throw DecodeError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        let length: number;
        try {
          length = channelDataLength(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        const again = wrap(bytes.subarray(4, 4 + length), channelNumber(bytes), false);
        expect(again).toEqual(bytes.slice(0, 4 + length));
      }),
      { numRuns: 2000 },
    );
  });

  it('needs room in front', () => {
    const slot = { buffer: new Uint8Array(10), offset: 3, length: 1, path: undefined };
    expect(() => wrapChannelData(slot, 0x4000, false)).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });
});
