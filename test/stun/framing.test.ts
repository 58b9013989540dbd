import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, DecodeError, hexToBytes } from '../../src/core/index.ts';
import { encodeStun, MAX_STREAM_MESSAGE_BYTES, StreamDeframer } from '../../src/stun/index.ts';
import { SeededRandom } from '../sim/index.ts';

const ID = new SeededRandom(1).bytes(12);
const stun = (length: number) =>
  encodeStun({
    messageClass: 'indication',
    method: 6,
    transactionId: ID,
    attributes: [['DATA', new Uint8Array(length)]],
  });

function channelData(length: number): { wire: Uint8Array; message: Uint8Array } {
  const message = new Uint8Array(4 + length).fill(0xaa);
  message.set([0x40, 0x01, length >> 8, length & 0xff]);
  return { wire: concatBytes(message, new Uint8Array(-length & 3)), message };
}

function deframe(chunks: readonly Uint8Array[], channel = true): string[] {
  const deframer = new StreamDeframer({ channelData: channel });
  const messages: string[] = [];
  for (const chunk of chunks) {
    deframer.push(chunk, (message) => messages.push(bytesToHex(message)));
    expect(deframer.bufferedBytes).toBeLessThanOrEqual(MAX_STREAM_MESSAGE_BYTES);
  }
  expect(deframer.bufferedBytes).toBe(0);
  return messages;
}

describe('StreamDeframer', () => {
  it('cuts STUN and ChannelData messages however the stream is cut', () => {
    const part = fc.oneof(
      fc.integer({ min: 0, max: 50 }).map((n) => ({ wire: stun(n), message: stun(n) })),
      fc.integer({ min: 0, max: 50 }).map(channelData),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40 })), (parts, cuts) => {
        const stream = concatBytes(...parts.map((p) => p.wire));
        const chunks: Uint8Array[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(stream.subarray(at, at + cut));
          at += cut;
        }
        chunks.push(stream.subarray(at));
        expect(deframe(chunks)).toEqual(parts.map((p) => bytesToHex(p.message)));
      }),
      { numRuns: 500 },
    );
  });

  it('one byte at a time, up to the longest message', () => {
    const longest = stun(0xfffc - 4);
    expect(longest).toHaveLength(MAX_STREAM_MESSAGE_BYTES);
    const bytes = Array.from(longest, (byte) => Uint8Array.of(byte));
    expect(deframe(bytes)).toEqual([bytesToHex(longest)]);
    expect(deframe([concatBytes(longest, longest)])).toHaveLength(2);
  });

  it('an empty ChannelData message is complete with its header', () => {
    const { wire, message } = channelData(0);
    expect(deframe(Array.from(wire, (byte) => Uint8Array.of(byte)))).toEqual([bytesToHex(message)]);
  });

  it('whole messages are views of the chunk: nothing is copied', () => {
    const chunk = concatBytes(stun(5), stun(6));
    new StreamDeframer().push(chunk, (message) => expect(message.buffer).toBe(chunk.buffer));
  });

  it.each([
    ['TLS', '16030100'],
    ['HTTP', '504f5354202f'],
    ['a length that is no multiple of four', '000100032112a442'],
    ['no magic cookie', '000100042112a443'],
  ])('%s breaks the stream for good', (_name, hex) => {
    const deframer = new StreamDeframer({ channelData: true });
    const push = (bytes: Uint8Array) => deframer.push(bytes, () => expect.unreachable());
    expect(() => {
      for (const byte of hexToBytes(hex)) push(Uint8Array.of(byte));
      push(new Uint8Array(12));
    }).toThrow(expect.objectContaining({ name: 'DecodeError', reason: 'bad-type' }));
    expect(() => push(stun(1))).toThrow(expect.objectContaining({ reason: 'closed' }));
  });

  it('ChannelData is foreign where it was not asked for', () => {
    expect(() => deframe([channelData(4).wire], false)).toThrow(DecodeError);
  });

  it('random bytes throw DecodeError or wait for more, within the bound', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 100 }), { maxLength: 20 }), (chunks) => {
        const deframer = new StreamDeframer({ channelData: true });
        try {
          for (const chunk of chunks) deframer.push(chunk, () => undefined);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
        expect(deframer.bufferedBytes).toBeLessThanOrEqual(MAX_STREAM_MESSAGE_BYTES);
      }),
    );
  });
});
