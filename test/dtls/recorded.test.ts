import { describe, expect, it } from 'vitest';
import { ByteReader, concatBytes, decodeUtf8, equalBytes, hexToBytes, utf8 } from '../../src/core/index.ts';
import { encodeWholeMessage, readHandshakeFragment } from '../../src/dtls/handshake-fragment.ts';
import { extendedMasterSecret, keyBlock, pskPremaster, verifyData } from '../../src/dtls/key-schedule.ts';
import {
  decodeCertificate,
  decodeCertificateRequest,
  decodeCertificateVerify,
  decodeClientHello,
  decodeClientKeyExchange,
  decodeHelloVerifyRequest,
  decodeNewSessionTicket,
  decodeServerHello,
  decodeServerKeyExchange,
  encodeCertificate,
  encodeCertificateRequest,
  encodeClientHello,
  encodeClientKeyExchange,
  encodeDigitallySigned,
  encodeEcdhParams,
  encodeHelloVerifyRequest,
  encodeNewSessionTicket,
  encodeServerHello,
  encodeServerKeyExchange,
} from '../../src/dtls/messages/index.ts';
import { type HandshakeMessage, HandshakeReassembler } from '../../src/dtls/reassembly.ts';
import { RecordHeader, readRecordHeader } from '../../src/dtls/record.ts';
import { RecordCipher } from '../../src/dtls/record-cipher.ts';
import { RecordReader } from '../../src/dtls/record-reader.ts';
import { type CipherSuite, cipherSuiteByCode } from '../../src/dtls/registry.ts';
import { peerKey, verifySigned } from '../../src/dtls/signatures.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import gnutls from '../vectors/dtls/gnutls.json' with { type: 'json' };
import openssl from '../vectors/dtls/openssl.json' with { type: 'json' };

/** The PSK that the recordings were made with. */
const PSK = hexToBytes('0123456789abcdef');

type Side = 'client' | 'server';

/** Reads a recorded connection from the outside, as a third party that was given the master secret. */
class Dissection {
  readonly messages: { readonly from: Side; readonly message: HandshakeMessage }[] = [];
  readonly data: { readonly from: Side; readonly text: string }[] = [];
  readonly alerts: { readonly from: Side; readonly bytes: number[] }[] = [];
  suite: CipherSuite | undefined;
  readonly #master: Uint8Array;
  readonly #clientRandom: Uint8Array;
  readonly #reassemblers = { client: new HandshakeReassembler(), server: new HandshakeReassembler() };
  readonly #readers: Partial<Record<Side, RecordReader>> = {};

  constructor(recorded: (typeof openssl.cases)[number]) {
    const [, random, master] = recorded.keyLog.split(' ');
    this.#clientRandom = hexToBytes(random!);
    this.#master = hexToBytes(master!);
    for (const { from, hex } of recorded.datagrams)
      this.#datagram(from === 'client' ? 'client' : 'server', hexToBytes(hex));
  }

  get master(): Uint8Array {
    return this.#master;
  }

  body(type: number): Uint8Array {
    return this.messages.find((m) => m.message.type === type)!.message.body;
  }

  #datagram(from: Side, bytes: Uint8Array): void {
    const header = new RecordHeader();
    for (let at = 0; at < bytes.length; at = header.end) {
      expect(readRecordHeader(bytes, at, 0, header)).toBeUndefined();
      if (header.epoch === 0) {
        if (header.type === 22) this.#handshake(from, new ByteReader(bytes, header.bodyStart, header.end));
        continue;
      }
      const reader = this.#readers[from]!;
      expect(reader.open(header, bytes)).toBeUndefined();
      const plain = bytes.slice(reader.start, reader.end);
      if (reader.type === 22) this.#handshake(from, new ByteReader(plain));
      else if (reader.type === 21) this.alerts.push({ from, bytes: [...plain] });
      else this.data.push({ from, text: decodeUtf8(plain)! });
    }
  }

  #handshake(from: Side, r: ByteReader): void {
    const reassembler = this.#reassemblers[from];
    while (r.remaining > 0) expect(reassembler.add(readHandshakeFragment(r), 0)).toBeUndefined();
    for (let message = reassembler.take(); message !== undefined; message = reassembler.take()) {
      this.messages.push({ from, message });
      if (message.type === 2) this.#keys(message.body);
    }
  }

  #keys(body: Uint8Array): void {
    const hello = decodeServerHello(body);
    this.suite = cipherSuiteByCode(hello.cipherSuite)!;
    const keys = keyBlock(nodeCrypto, this.suite, this.#master, this.#clientRandom, hello.random);
    for (const side of ['client', 'server'] as const) {
      this.#readers[side] = new RecordReader(
        1,
        new RecordCipher(nodeCrypto, this.suite, keys[side], new Uint8Array(0)),
      );
    }
  }

  /** Whole messages as the handshake hashes them, up to but without the `n`th Finished. */
  transcript(until: (message: HandshakeMessage, from: Side) => boolean): Uint8Array {
    const first = this.messages.findIndex((m) => m.message.type === 3) + 1; // behind HelloVerifyRequest
    const end = this.messages.findIndex((m) => until(m.message, m.from));
    return concatBytes(
      ...this.messages.slice(first, end).map(({ message: m }) => encodeWholeMessage(m.type, m.messageSeq, m.body)),
    );
  }
}

function reencode(type: number, body: Uint8Array, suite: CipherSuite): Uint8Array {
  switch (type) {
    case 1:
      return encodeClientHello(decodeClientHello(body));
    case 2:
      return encodeServerHello(decodeServerHello(body));
    case 3:
      return encodeHelloVerifyRequest(decodeHelloVerifyRequest(body));
    case 4:
      return encodeNewSessionTicket(decodeNewSessionTicket(body));
    case 11:
      return encodeCertificate(decodeCertificate(body));
    case 12:
      return encodeServerKeyExchange(decodeServerKeyExchange(body, suite.keyExchange));
    case 13:
      return encodeCertificateRequest(decodeCertificateRequest(body));
    case 15:
      return encodeDigitallySigned(decodeCertificateVerify(body));
    case 16:
      return encodeClientKeyExchange(decodeClientKeyExchange(body, suite.keyExchange));
    default:
      return body;
  }
}

const recordings = [
  ...openssl.cases.map((c) => ({ ...c, from: 'OpenSSL' })),
  ...gnutls.cases.map((c) => ({ ...c, from: 'GnuTLS' })),
];

it('the recordings have every handshake message in them', () => {
  const types = new Set(recordings.flatMap((r) => new Dissection(r).messages.map((m) => m.message.type)));
  expect([...types].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 20]);
});

describe.each(recordings)('recorded from $from: $name', (recorded) => {
  const seen = new Dissection(recorded);
  const suite = seen.suite!;

  it('each message decodes, and encodes to the same bytes', () => {
    for (const { message } of seen.messages) {
      expect(reencode(message.type, message.body, suite), `type ${message.type}`).toEqual(message.body);
    }
  });

  it('the records decrypt: application data and close_notify', () => {
    expect(seen.data.map((d) => d.text.trim())).toEqual(['ping', recorded.from === 'OpenSSL' ? 'pong' : 'ping']);
    expect(seen.alerts[0]?.bytes).toEqual([1, 0]);
  });

  it.each(['client', 'server'] as const)('the verify_data of the %s is what we compute', (side) => {
    const finished = (m: HandshakeMessage, from: Side): boolean => m.type === 20 && from === side;
    const hash = nodeCrypto.hash(suite.hash, seen.transcript(finished));
    const message = seen.messages.find((m) => finished(m.message, m.from))!.message;
    expect(verifyData(nodeCrypto, suite.hash, seen.master, side, hash)).toEqual(message.body);
  });

  if (suite.authentication !== 'psk') {
    it('the signatures verify', () => {
      const client = decodeClientHello(seen.messages.findLast((m) => m.message.type === 1)!.message.body);
      const server = decodeServerHello(seen.body(2));
      const exchange = decodeServerKeyExchange(seen.body(12), suite.keyExchange);
      const key = peerKey(
        nodeCrypto,
        decodeCertificate(seen.messages.find((m) => m.message.type === 11 && m.from === 'server')!.message.body)[0]!,
      );
      const data = concatBytes(client.random, server.random, encodeEcdhParams(exchange.params!));
      expect(() => verifySigned(key, exchange.signed!, data, 'ServerKeyExchange')).not.toThrow();
      expect(() => verifySigned(key, exchange.signed!, data.slice(1), 'ServerKeyExchange')).toThrow(
        'signature is wrong',
      );
      const verify = seen.messages.find((m) => m.message.type === 15)?.message;
      const chain = seen.messages.find((m) => m.message.type === 11 && m.from === 'client')?.message;
      if (verify === undefined || chain === undefined) return;
      const clientKey = peerKey(nodeCrypto, decodeCertificate(chain.body)[0]!);
      const transcript = seen.transcript((m) => m.type === 15);
      expect(() =>
        verifySigned(clientKey, decodeCertificateVerify(verify.body), transcript, 'CertificateVerify'),
      ).not.toThrow();
    });
  }

  if (suite.keyExchange === 'psk') {
    it('the master secret is what we compute from the PSK (RFC 4279 §2, RFC 7627 §4)', () => {
      const exchange = decodeClientKeyExchange(seen.body(16), 'psk');
      expect(equalBytes(exchange.pskIdentity!, utf8('sensor'))).toBe(true);
      const hash = nodeCrypto.hash(
        suite.hash,
        seen.transcript((m) => m.type === 20),
      );
      expect(extendedMasterSecret(nodeCrypto, suite.hash, pskPremaster(PSK, undefined), hash)).toEqual(seen.master);
    });
  }
});
