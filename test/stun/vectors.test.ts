import { describe, expect, it } from 'vitest';
import { hexToBytes, utf8 } from '../../src/core/index.ts';
import { hmac, nobleCrypto } from '../../src/crypto/index.ts';
import {
  decodeStun,
  encodeStun,
  IntegrityKey,
  integrityAlgorithm,
  longTermKey,
  type StunAttribute,
  shortTermKey,
  userHash,
  verifyIntegrity,
} from '../../src/stun/index.ts';
import rfc5769 from '../vectors/rfc5769/messages.json' with { type: 'json' };
import rfc8489 from '../vectors/rfc8489/messages.json' with { type: 'json' };

const ICE_PASSWORD = 'VOkJxbRl1RmTxUk/WvJxBt';
const shortTerm = shortTermKey(ICE_PASSWORD);
const longTerm = longTermKey(nobleCrypto, 'マトリックス', 'example.org', 'TheMatrIX');

/** What RFC 5769 says that its four messages contain, in our words; the bytes are in the vector file. */
const contents: { readonly key: Uint8Array; readonly attributes: readonly StunAttribute[] }[] = [
  {
    key: shortTerm,
    attributes: [
      ['SOFTWARE', 'STUN test client'],
      ['PRIORITY', 0x6e00_01ff],
      ['ICE-CONTROLLED', 0x932f_f9b1_5126_3b36n],
      ['USERNAME', 'evtj:h6vY'],
    ],
  },
  {
    key: shortTerm,
    attributes: [
      ['SOFTWARE', 'test vector'],
      ['XOR-MAPPED-ADDRESS', { ip: '192.0.2.1', port: 32853 }],
    ],
  },
  {
    key: shortTerm,
    attributes: [
      ['SOFTWARE', 'test vector'],
      ['XOR-MAPPED-ADDRESS', { ip: '2001:db8:1234:5678:11:2233:4455:6677', port: 32853 }],
    ],
  },
  {
    key: longTerm,
    attributes: [
      ['USERNAME', 'マトリックス'],
      ['NONCE', utf8('f//499k954d6OL34oL9FSTvy64sA')],
      ['REALM', 'example.org'],
    ],
  },
];

describe('RFC 5769 §2', () => {
  const cases = rfc5769.cases.map((vector, i) => ({ ...vector, ...contents[i]! }));

  it.each(cases)('$name: decodes, verifies, and re-encodes to the same bytes', (vector) => {
    const wire = hexToBytes(vector.wire);
    const key = new IntegrityKey(nobleCrypto, vector.key);
    const message = decodeStun(wire);
    expect(message.messageClass).toBe(vector.messageClass);
    expect(message.method).toBe(vector.method);
    expect(message.transactionId).toEqual(hexToBytes(vector.transactionId));
    for (const [name, value] of vector.attributes) expect(message.get(name)).toEqual(value);
    expect(message.attributeTypes).toHaveLength(vector.attributes.length + (vector.fingerprint ? 2 : 1));
    expect(message.hasFingerprint).toBe(vector.fingerprint);
    expect(integrityAlgorithm(message)).toBe('sha-1');
    expect(verifyIntegrity(message, key)).toBe(true);
    expect(verifyIntegrity(message, key, 'sha-256')).toBe(false);

    const encoded = encodeStun({
      messageClass: message.messageClass,
      method: message.method,
      transactionId: message.transactionId,
      attributes: vector.attributes,
      integrity: [{ key, algorithm: 'sha-1' }],
      fingerprint: vector.fingerprint,
      paddingByte: vector.paddingByte,
    });
    expect(encoded).toEqual(wire);
  });

  it.each(cases)('$name: no single bit can be flipped unnoticed', (vector) => {
    const wire = hexToBytes(vector.wire);
    const key = new IntegrityKey(nobleCrypto, vector.key);
    for (let bit = 0; bit < wire.length * 8; bit++) {
      const flipped = wire.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      let accepted = false;
      try {
        const message = decodeStun(flipped);
        accepted = verifyIntegrity(message, key) && message.hasFingerprint === vector.fingerprint;
      } catch (error) {
        expect(error).toMatchObject({ name: 'DecodeError' });
      }
      expect(accepted, `bit ${bit}`).toBe(false);
    }
  });
});

describe('RFC 8489 appendix B.1', () => {
  const vector = rfc8489.cases[0]!;
  const printed = hexToBytes(vector.wire);
  const keyBytes = longTermKey(nobleCrypto, 'マトリックス', 'example.org', 'TheMatrIX', 'sha-256');

  it('as printed it is refused: its length field counts the header too', () => {
    expect(() => decodeStun(printed)).toThrow(expect.objectContaining({ name: 'DecodeError', reason: 'too-short' }));
  });

  it('the printed HMAC is the one of the printed header under our key derivation', () => {
    expect(hmac(nobleCrypto, 'sha-256', keyBytes, printed.subarray(0, -36))).toEqual(printed.slice(-32));
  });

  it('with the length field corrected it decodes, and re-encodes to the same bytes up to the HMAC', () => {
    const wire = printed.slice();
    wire[3] = vector.correctedLength;
    const message = decodeStun(wire);
    expect(message.get('USERHASH')).toEqual(userHash(nobleCrypto, 'マトリックス', 'example.org'));
    expect(message.get('REALM')).toBe('example.org');
    expect(message.get('NONCE')).toEqual(utf8('obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA'));
    expect(integrityAlgorithm(message)).toBe('sha-256');

    const key = new IntegrityKey(nobleCrypto, keyBytes);
    const encoded = encodeStun({
      messageClass: 'request',
      method: 1,
      transactionId: hexToBytes(vector.transactionId),
      attributes: [
        ['USERHASH', userHash(nobleCrypto, 'マトリックス', 'example.org')],
        ['NONCE', utf8('obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA')],
        ['REALM', 'example.org'],
      ],
      integrity: [{ key, algorithm: 'sha-256' }],
    });
    expect(encoded.subarray(0, -32)).toEqual(wire.subarray(0, -32));
    expect(verifyIntegrity(decodeStun(encoded), key)).toBe(true);
  });
});
