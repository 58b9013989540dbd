import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, DecodeError, hexToBytes } from '../../src/core/index.ts';
import { type DcepMessage, decodeDcep, encodeDcep, PRIORITY } from '../../src/datachannel/index.ts';
import chromium from '../vectors/rfc8832/chromium.json' with { type: 'json' };
import vectors from '../vectors/rfc8832/dcep.json' with { type: 'json' };

/** JSON has no undefined: null in the vectors stands for it. */
function messageOf(json: object): unknown {
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, value === null ? undefined : value]));
}

describe('DCEP messages (RFC 8832 §5)', () => {
  it.each([...vectors.cases, ...chromium.cases])(
    '$name decodes and re-encodes to the same bytes',
    ({ bytes, message }) => {
      const decoded = decodeDcep(hexToBytes(bytes));
      expect(decoded).toEqual(messageOf(message));
      expect(bytesToHex(encodeDcep(decoded))).toBe(bytes);
    },
  );

  it.each(chromium.cases.filter((c) => /{.+}/.test(c.name)))(
    '$name says what the channel was made with',
    ({ bytes }) => {
      const message = decodeDcep(hexToBytes(bytes));
      if (message.type !== 'open') throw new Error('not an OPEN');
      // Chromium takes no notice of `priority`, which is no longer in the W3C's RTCDataChannelInit.
      const { priority: _, ...options } = JSON.parse(message.label.slice(3));
      expect(message).toMatchObject({ ...options, priority: PRIORITY.normal });
    },
  );

  it.each([
    ['', 'too-short', 'nothing'],
    ['00', 'bad-type', 'reserved message type 0'],
    ['01', 'bad-type', 'DATA_CHANNEL_OPEN_RESPONSE of the drafts'],
    ['04', 'bad-type', 'unassigned message type'],
    ['ff', 'bad-type', 'reserved message type 255'],
    ['0200', 'trailing-bytes', 'ACK with a byte behind it'],
    ['03', 'too-short', 'OPEN without anything'],
    ['0300000000000000000000', 'too-short', 'OPEN one byte short of its header'],
    ['030300000000000000000000', 'bad-value', 'channel type 3'],
    ['037f00000000000000000000', 'bad-value', 'reserved channel type 0x7f'],
    ['03ff00000000000000000000', 'bad-value', 'reserved channel type 0xff'],
    ['038300000000000000000000', 'bad-value', 'channel type 0x83'],
    ['030000000000000000010000', 'too-short', 'label longer than the message'],
    ['030000000000000000000001', 'too-short', 'protocol longer than the message'],
    ['03000000000000000000000041', 'trailing-bytes', 'a byte that no length counts'],
    ['0300000000000000000100ff', 'too-short', 'inconsistent lengths'],
    ['030000000000000000010000ff', 'bad-value', 'label that is not UTF-8'],
    ['030000000000000000000001c0', 'bad-value', 'protocol that is not UTF-8'],
  ])('rejects %s as %s: %s', (hex, reason) => {
    expect(() => decodeDcep(hexToBytes(hex))).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });

  it('takes label and protocol of 65,535 bytes each (RFC 8832 §7)', () => {
    const open: DcepMessage = {
      type: 'open',
      ordered: true,
      maxRetransmits: undefined,
      maxPacketLifeTime: undefined,
      priority: 256,
      label: 'l'.repeat(65_535),
      protocol: 'p'.repeat(65_535),
    };
    expect(decodeDcep(encodeDcep(open))).toEqual(open);
  });

  it('ignores the reliability parameter of reliable channels (RFC 8832 §5.1)', () => {
    expect(decodeDcep(hexToBytes('030001000000000900000000'))).toMatchObject({
      maxRetransmits: undefined,
      maxPacketLifeTime: undefined,
    });
  });

  it('any message comes back as it was', () => {
    const limit = fc.oneof(
      fc.constant({ maxRetransmits: undefined, maxPacketLifeTime: undefined }),
      fc.record({ maxRetransmits: fc.nat(0xffff_ffff), maxPacketLifeTime: fc.constant(undefined) }),
      fc.record({ maxRetransmits: fc.constant(undefined), maxPacketLifeTime: fc.nat(0xffff_ffff) }),
    );
    const open = fc
      .record({
        type: fc.constant('open' as const),
        ordered: fc.boolean(),
        priority: fc.nat(0xffff),
        label: fc.string({ unit: 'grapheme' }),
        protocol: fc.string({ unit: 'grapheme' }),
      })
      .chain((rest) => limit.map((l) => ({ ...rest, ...l })));
    fc.assert(
      fc.property(open, (message) => {
        expect(decodeDcep(encodeDcep(message))).toEqual(message);
      }),
    );
  });

  it('any bytes decode to something that keeps its meaning, or throw DecodeError', () => {
    const opens = fc
      .tuple(
        fc.nat(255),
        fc.uint8Array({ minLength: 6, maxLength: 6 }),
        fc.nat(6),
        fc.nat(6),
        fc.uint8Array({ maxLength: 12 }),
      )
      .map(([type, middle, label, protocol, rest]) =>
        Uint8Array.of(3, type, ...middle, 0, label, 0, protocol, ...rest),
      );
    fc.assert(
      fc.property(fc.oneof(opens, fc.uint8Array({ maxLength: 40 })), (bytes) => {
        let message: DcepMessage;
        try {
          message = decodeDcep(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        const again = encodeDcep(message);
        expect(decodeDcep(again)).toEqual(message);
        // The same bytes, except the parameter that a receiver ignores.
        if (message.type === 'ack' || (bytes[1]! & 0x7f) !== 0) expect(again).toEqual(bytes);
      }),
      { numRuns: 5_000 },
    );
  });
});
