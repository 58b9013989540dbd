import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ByteReader, ByteWriter, concatBytes, DecodeError, hexToBytes } from '../../src/core/index.ts';
import { readAlert, writeAlert } from '../../src/dtls/alert.ts';
import * as x from '../../src/dtls/extensions.ts';
import { encodeWholeMessage, readHandshakeFragment, writeHandshakeHeader } from '../../src/dtls/handshake-fragment.ts';
import * as m from '../../src/dtls/messages/index.ts';
import { RecordHeader, readRecordHeader, writeRecordHeader } from '../../src/dtls/record.ts';
import type { KeyExchange } from '../../src/dtls/registry.ts';
import { decodeSessionState, encodeSessionState } from '../../src/dtls/session.ts';
import gnutls from '../vectors/dtls/gnutls.json' with { type: 'json' };
import openssl from '../vectors/dtls/openssl.json' with { type: 'json' };

interface Codec {
  readonly name: string;
  /** Decodes, and encodes what it decoded. */
  readonly round: (bytes: Uint8Array) => Uint8Array;
  /** A valid value, from which near misses are made. */
  readonly valid: string;
}

function codec<T>(name: string, decode: (b: Uint8Array) => T, encode: (value: T) => Uint8Array, valid: string): Codec {
  return { name, round: (bytes) => encode(decode(bytes)), valid };
}

const random = '00'.repeat(32);
const keyExchanges: readonly KeyExchange[] = ['ecdhe', 'ecdhe-psk', 'psk'];
const ske = { ecdhe: '03001d02aabb04030002eeff', 'ecdhe-psk': '0002686903001d02aabb', psk: '00026869' };
const cke = { ecdhe: '02aabb', 'ecdhe-psk': '0002696402aabb', psk: '00026964' };
const codeList = (data: Uint8Array) => x.decodeCodeList(data, 'list');

const codecs: readonly Codec[] = [
  codec(
    'ClientHello',
    m.decodeClientHello,
    m.encodeClientHello,
    `fefd${random}000000 04c02bc02c 0100 0008 0017 0000 ff01 000100`.replace('0008', '0009'),
  ),
  codec('ServerHello', m.decodeServerHello, m.encodeServerHello, `fefd${random}00c02b00 0009 00170000 ff01000100`),
  codec('HelloVerifyRequest', m.decodeHelloVerifyRequest, m.encodeHelloVerifyRequest, 'feff 03 010203'),
  codec('Certificate', m.decodeCertificate, m.encodeCertificate, '000009 000002 3000 000001 30'),
  codec('CertificateRequest', m.decodeCertificateRequest, m.encodeCertificateRequest, '0140 0002 0403 0004 0002 3000'),
  codec('CertificateVerify', m.decodeCertificateVerify, m.encodeDigitallySigned, '0403 0002 aabb'),
  codec('NewSessionTicket', m.decodeNewSessionTicket, m.encodeNewSessionTicket, '00000e10 0002 aabb'),
  ...keyExchanges.flatMap((k) => [
    codec(`ServerKeyExchange (${k})`, (b) => m.decodeServerKeyExchange(b, k), m.encodeServerKeyExchange, ske[k]),
    codec(`ClientKeyExchange (${k})`, (b) => m.decodeClientKeyExchange(b, k), m.encodeClientKeyExchange, cke[k]),
  ]),
  codec('code list', codeList, x.encodeCodeList, '0004 001d 0017'),
  codec('ec_point_formats', x.decodePointFormats, x.encodePointFormats, '0100'),
  codec('renegotiation_info', x.decodeRenegotiationInfo, x.encodeRenegotiationInfo, '00'),
  codec('use_srtp', x.decodeUseSrtp, x.encodeUseSrtp, '0004 0001 0007 00'),
  codec('ALPN', x.decodeAlpn, x.encodeAlpn, '000a 067765627274630263ff'),
  codec('server_name', x.decodeServerName, x.encodeServerName, '0006 00 0003 612e62'),
  codec('record_size_limit', x.decodeRecordSizeLimit, x.encodeRecordSizeLimit, '0040'),
  codec('connection_id', x.decodeConnectionId, x.encodeConnectionId, '020102'),
  codec('supported_versions', x.decodeSupportedVersions, x.encodeSupportedVersions, '04 fefc fefd'),
  codec(
    'session state',
    (b) => decodeSessionState(b, 1),
    encodeSessionState,
    '01c02b 019ff0000000 02aabb 0001 61 000004 000001 30',
  ),
  {
    name: 'alert',
    valid: '0228',
    round: (bytes) => {
      const alert = readAlert(new ByteReader(bytes));
      const w = new ByteWriter(new Uint8Array(2));
      writeAlert(w, alert);
      return w.written();
    },
  },
  {
    name: 'handshake fragment',
    valid: '0b 000005 0002 000001 000003 aabbcc',
    round: (bytes) => {
      const r = new ByteReader(bytes);
      const f = readHandshakeFragment(r);
      r.expectEnd('fragment');
      const out = new Uint8Array(12 + f.body.length);
      writeHandshakeHeader(out, 0, { ...f, body: new Uint8Array(f.length) }, f.offset, f.body.length);
      out.set(f.body, 12);
      return out;
    },
  },
];

describe.each(codecs)('$name', ({ round, valid }) => {
  const wire = hexToBytes(valid);

  it('decodes and encodes to the same bytes', () => {
    expect(round(wire)).toEqual(wire);
  });

  it('truncated anywhere, it is refused with a DecodeError', () => {
    for (let length = 0; length < wire.length; length++) {
      let again: Uint8Array | undefined;
      try {
        again = round(wire.slice(0, length));
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError);
      }
      // Only a hello may end early: before its extensions (RFC 5246 §7.4.1.2).
      if (again !== undefined) expect([again, valid.startsWith('fefd')]).toEqual([wire.slice(0, length), true]);
    }
  });

  it('a byte too much is refused as trailing-bytes', () => {
    expect(() => round(concatBytes(wire, Uint8Array.of(0)))).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason: expect.stringMatching(/trailing-bytes|too-short/) }),
    );
  });

  it('any bytes: they round-trip, or throw DecodeError and nothing else', () => {
    const near = fc
      .tuple(
        fc.array(fc.tuple(fc.nat(wire.length - 1), fc.nat(255)), { maxLength: 4 }),
        fc.uint8Array({ maxLength: 4 }),
      )
      .map(([changes, tail]) => {
        const bytes = concatBytes(wire, tail);
        for (const [at, value] of changes) bytes[at] = value;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(near, fc.uint8Array({ maxLength: 80 })), (bytes) => {
        let again: Uint8Array;
        try {
          again = round(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
          return;
        }
        expect(again).toEqual(bytes);
      }),
      { numRuns: 300 },
    );
  });
});

describe('malformed', () => {
  const table: readonly (readonly [string, (b: Uint8Array) => unknown, string, string])[] = [
    ['ClientHello without suites', m.decodeClientHello, `fefd${random}0000 0000 0100`, 'bad-length'],
    ['ClientHello with half a suite', m.decodeClientHello, `fefd${random}0000 0003 c02bc0 0100`, 'bad-length'],
    ['ClientHello without compression methods', m.decodeClientHello, `fefd${random}0000 0002 c02b 00`, 'bad-length'],
    ['session ID of 33 bytes', m.decodeClientHello, `fefd${random}21${'00'.repeat(33)}00 0002 c02b 0100`, 'bad-length'],
    [
      'an extension twice',
      m.decodeClientHello,
      `fefd${random}0000 0002 c02b 0100 0008 0017 0000 0017 0000`,
      'duplicate',
    ],
    ['an empty certificate in a chain', m.decodeCertificate, '000003 000000', 'bad-length'],
    ['17 certificates', m.decodeCertificate, `000044${'00000130'.repeat(17)}`, 'too-many'],
    ['a certificate longer than its list', m.decodeCertificate, '000004 000002 30', 'too-short'],
    ['CertificateRequest without types', m.decodeCertificateRequest, '00 0002 0403 0000', 'bad-length'],
    ['CertificateRequest without schemes', m.decodeCertificateRequest, '0140 0000 0000', 'bad-length'],
    ['CertificateRequest with an empty name', m.decodeCertificateRequest, '0140 0002 0403 0002 0000', 'bad-length'],
    [
      'explicit curve (RFC 8422 §5.4)',
      (b) => m.decodeServerKeyExchange(b, 'ecdhe'),
      '01001d02aabb04030000',
      'bad-value',
    ],
    ['no point', (b) => m.decodeServerKeyExchange(b, 'ecdhe'), '03001d0004030000', 'bad-length'],
    ['no client point', (b) => m.decodeClientKeyExchange(b, 'ecdhe'), '00', 'bad-length'],
    ['empty group list', codeList, '0000', 'bad-length'],
    ['odd group list', codeList, '0003001d00', 'too-short'],
    ['no point formats', x.decodePointFormats, '00', 'bad-length'],
    ['no SRTP profiles', x.decodeUseSrtp, '000000', 'bad-length'],
    ['no ALPN names', x.decodeAlpn, '0000', 'bad-length'],
    ['an empty ALPN name', x.decodeAlpn, '000100', 'bad-length'],
    ['a name that is no host name', x.decodeServerName, '0004 01 0001 61', 'bad-value'],
    ['an empty host name', x.decodeServerName, '0003 00 0000', 'bad-length'],
    ['a host name with a NUL in it', x.decodeServerName, '0006 00 0003 610062', 'bad-value'],
    ['a host name with an escape code', x.decodeServerName, '0006 00 0003 1b5b6d', 'bad-value'],
    ['a host name in UTF-8', x.decodeServerName, '0005 00 0002 c485', 'bad-value'],
    ['a host name in no encoding', x.decodeServerName, '0005 00 0002 ffff', 'bad-value'],
    ['two host names', x.decodeServerName, '0008 00 0001 61 00 0001 62', 'bad-value'],
    ['record_size_limit of 63', x.decodeRecordSizeLimit, '003f', 'bad-value'],
    ['no versions', x.decodeSupportedVersions, '00', 'bad-length'],
    [
      'a fragment behind its message',
      (b) => readHandshakeFragment(new ByteReader(b)),
      '0b 000003 0000 000002 000002 aabb',
      'bad-length',
    ],
    ['an alert of level 0', (b) => readAlert(new ByteReader(b)), '0028', 'bad-value'],
    [
      'session state of another version',
      (b) => decodeSessionState(b, 1),
      '02c02b0000000000000000000000000000',
      'bad-version',
    ],
    [
      'session state of an unknown suite',
      (b) => decodeSessionState(b, 1),
      '0113010000000000000000000000000000',
      'unsupported',
    ],
  ];
  it.each(table)('%s', (_name, decode, hex, reason) => {
    expect(() => decode(hexToBytes(hex))).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });
});

describe('record header', () => {
  const header = new RecordHeader();
  it('of recorded handshakes: reads, and writes the same bytes', () => {
    for (const { datagrams } of [...openssl.cases, ...gnutls.cases]) {
      for (const { hex } of datagrams) {
        const bytes = hexToBytes(hex);
        for (let at = 0; at < bytes.length; at = header.end) {
          expect(readRecordHeader(bytes, at, 0, header)).toBeUndefined();
          const again = new Uint8Array(11);
          writeRecordHeader(again, 0, header.type, header.epoch, header.sequence);
          if (header.version === 0xfefd) expect(again).toEqual(bytes.slice(at, at + 11));
        }
      }
    }
  });

  it.each([
    ['16fefd0000000000000000', 'too-short'],
    ['16fefd000000000000000000', 'too-short'],
    ['16fefd00000000000000000001', 'too-short'],
    ['160303000000000000000000 00', 'bad-version'],
    ['16fdfd000000000000000000 00', 'bad-version'],
    ['16fefd00000000000000004801', 'bad-length'],
    ['19fefd000000000000000001 0000', 'too-short'],
  ])('%s is refused as %s', (hex, reason) => {
    expect(readRecordHeader(hexToBytes(hex), 0, 4, header)).toBe(reason);
  });

  it('carries sequence numbers of 48 bits exactly', () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat().map((n) => n % 2 ** 48),
        fc.nat(0xffff),
        (sequence, epoch) => {
          const bytes = new Uint8Array(13);
          writeRecordHeader(bytes, 0, 23, epoch, sequence);
          expect(readRecordHeader(bytes, 0, 0, header)).toBeUndefined();
          expect([header.sequence, header.epoch]).toEqual([sequence, epoch]);
        },
      ),
    );
  });
});

it('a whole message is what its single fragment is (RFC 6347 §4.2.6)', () => {
  const whole = encodeWholeMessage(11, 3, Uint8Array.of(1, 2, 3));
  const f = readHandshakeFragment(new ByteReader(whole));
  expect(f).toMatchObject({ type: 11, length: 3, messageSeq: 3, offset: 0 });
});
