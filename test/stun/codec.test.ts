import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter, bytesToHex, DecodeError, hexToBytes } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import {
  type AttributeName,
  type AttributeValues,
  classOfType,
  decodeStun,
  encodeMessageType,
  encodeStun,
  IntegrityKey,
  isStun,
  MAX_ATTRIBUTES,
  MAX_TEXT_BYTES,
  methodName,
  methodOfType,
  RESERVED_ATTRIBUTES,
  readXorAddress,
  STUN_ATTRIBUTES,
  STUN_ERROR_REASONS,
  STUN_METHODS,
  type StunAttribute,
  StunWriter,
  shortTermKey,
  verifyIntegrity,
  writeXorAddress,
} from '../../src/stun/index.ts';
import iana from '../vectors/iana/stun-parameters.json' with { type: 'json' };
import attributeVectors from '../vectors/rfc8489/attribute-values.json' with { type: 'json' };
import addressVectors from '../vectors/rfc8489/xor-addresses.json' with { type: 'json' };

const ID = hexToBytes('b7e7a701bc34d686fa87dfae');
const HEADER = (length: number, type = 1) =>
  `${type.toString(16).padStart(4, '0')}${length.toString(16).padStart(4, '0')}2112a442${bytesToHex(ID)}`;
const request = (...attributes: StunAttribute[]) =>
  encodeStun({ messageClass: 'request', method: STUN_METHODS.Binding, transactionId: ID, attributes });
const attributeNames = Object.keys(STUN_ATTRIBUTES) as AttributeName[];

describe('the registry is IANA’s', () => {
  it.each(iana.attributes)('attribute $number is $name', ({ number, name }) => {
    const was = /^Reserved(?: \(was (.*)\))?$/.exec(name);
    if (was === null) expect(attributeNames.filter((n) => STUN_ATTRIBUTES[n].type === number)).toEqual([name]);
    // Two reserved ones are still sent to clients of RFC 3489, under their old names.
    else if (number === 4 || number === 5)
      expect(attributeNames.find((n) => STUN_ATTRIBUTES[n].type === number)).toBe(was[1]);
    else expect(RESERVED_ATTRIBUTES[number]).toBe(was[1] ?? 'Reserved');
  });

  it('knows no attribute, method or error that IANA does not', () => {
    const numbers = (rows: readonly { readonly number: number }[]) =>
      rows.map((row) => row.number).sort((a, b) => a - b);
    const ours = [
      ...attributeNames.map((n) => STUN_ATTRIBUTES[n].type),
      ...Object.keys(RESERVED_ATTRIBUTES).map(Number),
    ];
    // Numbers of drafts that IANA has not listed; coturn and its clients use them.
    const drafts = [0x802f, 0x8032, 0x8033].map((number) => ({ number }));
    expect(ours.sort((a, b) => a - b)).toEqual(numbers([...iana.attributes, ...drafts]));
    expect(Object.entries(STUN_METHODS).map(([name, number]) => ({ number, name }))).toEqual(iana.methods);
    expect(Object.entries(STUN_ERROR_REASONS).map(([number, name]) => ({ number: Number(number), name }))).toEqual(
      iana.errors,
    );
  });
});

describe('message type (RFC 8489 §5, appendix A)', () => {
  it.each([
    [0x0001, 'request', 'Binding'],
    [0x0101, 'success', 'Binding'],
    [0x0111, 'error', 'Binding'],
    [0x0011, 'indication', 'Binding'],
    [0x0003, 'request', 'Allocate'],
    [0x0016, 'indication', 'Send'],
    [0x0017, 'indication', 'Data'],
    [0x0109, 'success', 'ChannelBind'],
    [0x0118, 'error', 'CreatePermission'],
    [0x001c, 'indication', 'ConnectionAttempt'],
    [0x0200, 'request', 'GOOG-PING'],
  ] as const)('0x%s is a %s of %s', (type, messageClass, name) => {
    expect(classOfType(type)).toBe(messageClass);
    expect(methodName(methodOfType(type))).toBe(name);
    expect(encodeMessageType(messageClass, STUN_METHODS[name])).toBe(type);
  });

  it('all 14-bit types come apart and together again', () => {
    for (let type = 0; type <= 0x3fff; type++) {
      expect(encodeMessageType(classOfType(type), methodOfType(type))).toBe(type);
    }
  });
});

describe('XOR-MAPPED-ADDRESS (RFC 8489 §14.2)', () => {
  it.each(addressVectors.cases)('$name decodes and re-encodes to the same bytes', (v) => {
    const id = hexToBytes(v.txid);
    const wire = hexToBytes(v.value);
    const address = readXorAddress(new ByteReader(wire), id);
    expect(address).toEqual({ ip: hexToBytes(v.ip), port: v.port });
    const w = new ByteWriter(new Uint8Array(20));
    writeXorAddress(w, address, id);
    expect(w.written()).toEqual(wire);
  });

  it.each([
    ['', 'too-short'],
    ['0001a1', 'too-short'],
    ['0001a147e112a6', 'too-short'],
    ['0002a147e112a643', 'too-short'],
    ['0003a147e112a643', 'bad-value'],
    ['0001a147e112a64300', 'trailing-bytes'],
  ])('rejects %j as %s', (hex, reason) => {
    expect(() => readXorAddress(new ByteReader(hexToBytes(hex)), ID)).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason }),
    );
  });
});

describe('attribute values', () => {
  const cases = attributeVectors.cases.map((v) => ({ ...v, attribute: v.attribute as AttributeName }));

  it('has a vector for each attribute', () => {
    expect(new Set(cases.map((v) => v.attribute))).toEqual(new Set(attributeNames));
  });

  it.each(cases)(
    '$attribute $value ($section) decodes and re-encodes to the same bytes',
    ({ attribute, value, expected }) => {
      const read = readValue(attribute, hexToBytes(value));
      expect(normalise(read)).toEqual(expected);
      expect(bytesToHex(writeValue(attribute, read))).toBe(value);
    },
  );

  it.each(attributeVectors.malformed.map((v) => ({ ...v, attribute: v.attribute as AttributeName })))(
    '$attribute $value is refused as $reason',
    ({ attribute, value, reason }) => {
      expect(() => readValue(attribute, hexToBytes(value))).toThrow(
        expect.objectContaining({ name: 'DecodeError', reason }),
      );
    },
  );

  it(`text of ${MAX_TEXT_BYTES} bytes is taken, and of one more refused (RFC 8489 §14.3, §14.8)`, () => {
    const text = (bytes: number) => new Uint8Array(bytes).fill(0x61);
    for (const name of ['USERNAME', 'REALM', 'SOFTWARE'] as const) {
      expect(readValue(name, text(MAX_TEXT_BYTES))).toHaveLength(MAX_TEXT_BYTES);
      expect(() => readValue(name, text(MAX_TEXT_BYTES + 1))).toThrow(
        expect.objectContaining({ reason: 'bad-length' }),
      );
    }
    const error = Uint8Array.of(0, 0, 4, 1, ...text(MAX_TEXT_BYTES));
    expect(readValue('ERROR-CODE', error).reason).toHaveLength(MAX_TEXT_BYTES);
    expect(() => readValue('ERROR-CODE', Uint8Array.of(...error, 0x61))).toThrow(
      expect.objectContaining({ reason: 'bad-length' }),
    );
  });

  it('reserved bits are ignored, as the RFCs say', () => {
    expect(readValue('ERROR-CODE', hexToBytes('fffffc01'))).toEqual({ code: 401, reason: '' });
    expect(readValue('EVEN-PORT', hexToBytes('ff'))).toBe(true);
    expect(readValue('CHANNEL-NUMBER', hexToBytes('4000ffff'))).toBe(0x4000);
    expect(readValue('REQUESTED-TRANSPORT', hexToBytes('11ffffff'))).toBe(17);
    expect(readValue('XOR-MAPPED-ADDRESS', hexToBytes('ff01a147e112a643'))).toEqual({ ip: '192.0.2.1', port: 32853 });
  });

  it('a value of the wrong length cannot be written', () => {
    expect(() => request(['RESERVATION-TOKEN', new Uint8Array(7)])).toThrow('must have 8');
  });

  it('any bytes as any value either decode, and come back, or throw DecodeError', () => {
    fc.assert(
      fc.property(fc.constantFrom(...attributeNames), fc.uint8Array({ maxLength: 40 }), (name, bytes) => {
        let value: unknown;
        try {
          value = readValue(name, bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        // Reserved bits are lost, so the bytes may differ; what they mean may not.
        expect(normalise(readValue(name, writeValue(name, value)))).toEqual(normalise(value));
      }),
      { numRuns: 3000 },
    );
  });
});

describe('decodeStun', () => {
  it.each([
    ['nothing', '', 'too-short'],
    ['half a header', HEADER(0).slice(0, 30), 'too-short'],
    ['first bits of ChannelData', `40${HEADER(0).slice(2)}`, 'bad-type'],
    ['first bits of RTP', `80${HEADER(0).slice(2)}`, 'bad-type'],
    ['no magic cookie', HEADER(0).replace('2112a442', '2112a443'), 'bad-type'],
    ['length not a multiple of four', `${HEADER(3)}000000`, 'bad-length'],
    ['length beyond the datagram', HEADER(4), 'too-short'],
    ['bytes behind the message', `${HEADER(0)}00000000`, 'trailing-bytes'],
  ])('%s is not STUN', (_name, hex, reason) => {
    expect(isStun(hexToBytes(hex))).toBe(false);
    expect(() => decodeStun(hexToBytes(hex))).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });

  it.each([
    ['an attribute longer than the message', `${HEADER(8)}0006000500000000`, 'too-short'],
    ['an attribute of the longest length', `${HEADER(8)}0006ffff00000000`, 'too-short'],
    ['FINGERPRINT of five bytes', `${HEADER(12)}80280005e57a3bcf00000000`, 'bad-length'],
    ['FINGERPRINT with a wrong CRC', `${HEADER(8)}80280004e57a3bcf`, 'bad-fingerprint'],
    ['an attribute behind FINGERPRINT', `${HEADER(12)}80280004e57a3bcf80220000`, 'bad-order'],
  ])('%s is malformed', (_name, hex, reason) => {
    expect(isStun(hexToBytes(hex))).toBe(true);
    expect(() => decodeStun(hexToBytes(hex))).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });

  it(`takes ${MAX_ATTRIBUTES} attributes and refuses one more`, () => {
    const many = (count: number) => {
      const w = new StunWriter(new ByteWriter(new Uint8Array(2000)), 'request', 1, ID);
      for (let i = 0; i < count; i++) w.add('DONT-FRAGMENT', true);
      return w.written();
    };
    expect(decodeStun(many(MAX_ATTRIBUTES)).attributeTypes).toHaveLength(MAX_ATTRIBUTES);
    expect(() => decodeStun(many(MAX_ATTRIBUTES + 1))).toThrow(expect.objectContaining({ reason: 'too-many' }));
  });

  it('a message of the greatest length goes through, a longer one cannot be written', () => {
    const data = new Uint8Array(0xfffc - 4);
    const message = decodeStun(request(['DATA', data]));
    expect(message.bytes).toHaveLength(20 + 0xfffc);
    expect(message.get('DATA')).toHaveLength(data.length);
    expect(() => request(['DATA', data], ['DONT-FRAGMENT', true])).toThrow('longer than a STUN message');
  });

  it('messages without the cookie are taken only where asked for, with a transaction ID of 16 bytes', () => {
    const classic = hexToBytes(HEADER(0).replace('2112a442', '01020304'));
    expect(() => decodeStun(classic)).toThrow(expect.objectContaining({ reason: 'bad-type' }));
    const message = decodeStun(classic, { allowClassic: true });
    expect(message.isClassic).toBe(true);
    expect(bytesToHex(message.transactionId)).toBe(`01020304${bytesToHex(ID)}`);
    const answer = encodeStun({ messageClass: 'success', method: 1, transactionId: message.transactionId });
    expect(bytesToHex(answer)).toBe(`0101000001020304${bytesToHex(ID)}`);
  });

  it('gives the first of several, and all of them', () => {
    const message = decodeStun(
      request(['XOR-PEER-ADDRESS', { ip: '192.0.2.1', port: 0 }], ['XOR-PEER-ADDRESS', { ip: '2001:db8::1', port: 9 }]),
    );
    expect(message.get('XOR-PEER-ADDRESS')).toEqual({ ip: '192.0.2.1', port: 0 });
    expect(message.getAll('XOR-PEER-ADDRESS').map((a) => a.ip)).toEqual(['192.0.2.1', '2001:db8::1']);
    expect(message.get('LIFETIME')).toBeUndefined();
    expect(() => message.require('LIFETIME')).toThrow(expect.objectContaining({ reason: 'missing' }));
  });

  it('lists unknown comprehension-required attributes once each, and no others', () => {
    const w = new StunWriter(new ByteWriter(new Uint8Array(200)), 'request', 1, ID);
    for (const type of [0x7fff, 0x8fff, 0x0002, 0x7fff]) w.addRaw(type, new Uint8Array(3));
    w.add('PRIORITY', 1);
    const message = decodeStun(w.written());
    expect(message.unknownRequired()).toEqual([0x7fff, 0x0002]);
    expect(message.unknownRequired((type) => type === 0x7fff)).toEqual([0x0002, 0x0024]);
  });

  it('logs say what it is, without names or addresses', () => {
    expect(String(decodeStun(request(['USERNAME', 'alice'])))).toBe('Binding request (32 bytes)');
  });

  it('any bytes either decode or throw DecodeError, and a decoded message re-encodes to the same bytes', () => {
    const arbitrary = fc
      .array(fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.uint8Array({ maxLength: 30 })), { maxLength: 8 })
      .map((attributes) => {
        const w = new StunWriter(new ByteWriter(new Uint8Array(1000)), 'request', 1, ID);
        for (const [type, value] of attributes) w.addRaw(type, value);
        return w.written();
      });
    const broken = fc.tuple(arbitrary, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([bytes, at, value]) => {
      const copy = bytes.slice();
      copy[at % copy.length] = value;
      return copy;
    });
    fc.assert(
      fc.property(fc.oneof(arbitrary, broken, fc.uint8Array({ maxLength: 100 })), (bytes) => {
        let message: ReturnType<typeof decodeStun>;
        try {
          message = decodeStun(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        for (const name of attributeNames) {
          try {
            message.get(name);
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        }
        if (message.has('MESSAGE-INTEGRITY') || message.has('MESSAGE-INTEGRITY-SHA256')) return; // rest was ignored
        const w = new StunWriter(
          new ByteWriter(new Uint8Array(2000)),
          message.messageClass,
          message.method,
          ID.slice(),
        );
        let at = 20;
        for (const type of message.attributeTypes) {
          const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
          w.addRaw(type, bytes.subarray(at + 4, at + 4 + length));
          at += 4 + length + (-length & 3);
        }
        expect(w.written().subarray(20).length).toBe(bytes.length - 20);
        expect(decodeStun(w.written()).attributeTypes).toEqual(message.attributeTypes);
      }),
      { numRuns: 3000 },
    );
  });
});

describe('integrity', () => {
  const key = new IntegrityKey(nobleCrypto, shortTermKey('VOkJxbRl1RmTxUk/WvJxBt'));

  it('covers what is in front of it, not what follows: those attributes are not even visible (RFC 8489 §9)', () => {
    const signed = encodeStun({
      messageClass: 'request',
      method: 1,
      transactionId: ID,
      attributes: [['USERNAME', 'a:b']],
      integrity: [{ key, algorithm: 'sha-1' }],
    });
    // Somebody on the path appends USE-CANDIDATE and repairs the length.
    const extended = new Uint8Array(signed.length + 4);
    extended.set(signed);
    extended.set([0x00, 0x25, 0x00, 0x00], signed.length);
    extended[3]! += 4;
    const message = decodeStun(extended);
    expect(verifyIntegrity(message, key)).toBe(true);
    expect(message.has('USE-CANDIDATE')).toBe(false);
    expect(message.unknownRequired(() => false)).not.toContain(0x0025);
  });

  it('both may stand, SHA-1 first, and then SHA-256 decides (RFC 8489 §9.1.3)', () => {
    const both = encodeStun({
      messageClass: 'request',
      method: 1,
      transactionId: ID,
      integrity: [
        { key, algorithm: 'sha-1' },
        { key, algorithm: 'sha-256' },
      ],
      fingerprint: true,
    });
    expect(verifyIntegrity(decodeStun(both), key)).toBe(true);
    expect(verifyIntegrity(decodeStun(both), key, 'sha-1')).toBe(true); // what asked with SHA-1 alone (§9.1.4)
    const other = new IntegrityKey(nobleCrypto, shortTermKey('other'));
    const mixed = encodeStun({
      messageClass: 'request',
      method: 1,
      transactionId: ID,
      integrity: [
        { key, algorithm: 'sha-1' },
        { key: other, algorithm: 'sha-256' },
      ],
    });
    expect(verifyIntegrity(decodeStun(mixed), key)).toBe(false);
  });

  it('truncated SHA-256 is refused, though the RFC lets usages allow it (RFC 8489 §14.6)', () => {
    const full = encodeStun({
      messageClass: 'request',
      method: 1,
      transactionId: ID,
      integrity: [{ key, algorithm: 'sha-256' }],
    });
    const w = new StunWriter(new ByteWriter(new Uint8Array(100)), 'request', 1, ID);
    w.addRaw(0x001c, full.subarray(24, 40));
    expect(verifyIntegrity(decodeStun(w.written()), key)).toBe(false);
  });

  it('no integrity attribute, and one of the wrong length, are not integrity', () => {
    expect(verifyIntegrity(decodeStun(request()), key)).toBe(false);
    const w = new StunWriter(new ByteWriter(new Uint8Array(100)), 'request', 1, ID);
    w.addRaw(0x0008, new Uint8Array(19));
    expect(verifyIntegrity(decodeStun(w.written()), key)).toBe(false);
  });

  it('the writer keeps the order', () => {
    const w = new StunWriter(new ByteWriter(new Uint8Array(200)), 'request', 1, ID);
    w.addIntegrity(key, 'sha-256');
    expect(() => w.add('PRIORITY', 1)).toThrow('behind the integrity');
    expect(() => w.addRaw(1, ID)).toThrow('behind the integrity');
    expect(() => w.addIntegrity(key, 'sha-1')).toThrow('wrong order');
    w.addFingerprint();
    expect(() => w.addFingerprint()).toThrow('second FINGERPRINT');
    expect(() => w.addIntegrity(key, 'sha-256')).toThrow('wrong order');
    expect(() => new StunWriter(new ByteWriter(new Uint8Array(9)), 'request', 1, ID)).toThrow('buffer holds 9');
    expect(() => new StunWriter(new ByteWriter(new Uint8Array(99)), 'request', 1, new Uint8Array(11))).toThrow(
      'transaction ID',
    );
  });

  it('writes into the middle of a slot', () => {
    const buffer = new Uint8Array(200).fill(0xee);
    const w = new StunWriter(new ByteWriter(buffer, 50), 'request', 1, ID);
    w.add('USERNAME', 'a:b').addIntegrity(key, 'sha-1').addFingerprint();
    const message = decodeStun(buffer.subarray(50, 50 + w.length));
    expect(verifyIntegrity(message, key)).toBe(true);
    expect(message.hasFingerprint).toBe(true);
    expect(buffer[49]).toBe(0xee);
    expect(buffer[50 + w.length]).toBe(0xee);
  });
});

/** Bytes as {hex}, 64-bit numbers as {u64}: what the vector files say. */
function normalise(value: unknown): unknown {
  if (value instanceof Uint8Array) return { hex: bytesToHex(value) };
  if (typeof value === 'bigint') return { u64: value.toString(16).padStart(16, '0') };
  if (Array.isArray(value)) return value.map(normalise);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, normalise(v)]));
  }
  return value;
}

function readValue<N extends AttributeName>(name: N, bytes: Uint8Array): AttributeValues[N] {
  return STUN_ATTRIBUTES[name].codec.read(new ByteReader(bytes), ID);
}

function writeValue<N extends AttributeName>(name: N, value: unknown): Uint8Array {
  const w = new ByteWriter(new Uint8Array(1000));
  STUN_ATTRIBUTES[name].codec.write(w, value as AttributeValues[N], ID);
  return w.written();
}
