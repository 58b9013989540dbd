/** Messages of each protocol for `codecs.mjs`: `[name, operation]`. What the package does not export comes from the build. */
import { ByteWriter } from 'purertc/core';
import { decodeDcep, encodeDcep } from 'purertc/datachannel';
import { nodeCrypto } from 'purertc/io';
import {
  decodeStun,
  encodeStun,
  IntegrityKey,
  STUN_METHODS,
  shortTermKey,
  verifyIntegrity,
  writeStun,
} from 'purertc/stun';
import { decodeClientHello, encodeClientHello } from '../../dist/dtls/messages/hello.js';
import { createDataFields, DATA_FLAG, readData, writeDataHeader } from '../../dist/sctp/wire/data.js';
import { createSackFields, readSack, SACK_HEADER_BYTES, writeSackHeader } from '../../dist/sctp/wire/sack.js';

const DATA_CHUNK_BYTES = 1176;
const PPID_BINARY = 53;
/** extended_master_secret and supported_groups (RFC 7627 §5.1, RFC 8422 §5.1.1). */
const EXTENSIONS = [
  { type: 23, data: new Uint8Array(0) },
  { type: 10, data: Uint8Array.of(0, 4, 0, 29, 0, 23) },
];

export function wireCodecs() {
  return [...stun(), ...sctp(), ...dcep(), ...dtls()];
}

function stun() {
  const key = new IntegrityKey(nodeCrypto, shortTermKey('a password of the usual length'));
  /** A connectivity check (RFC 8445 §7.1.1). */
  const check = {
    messageClass: 'request',
    method: STUN_METHODS.Binding,
    transactionId: new Uint8Array(12).fill(7),
    attributes: [
      ['USERNAME', 'Aa+/:Bb+/'],
      ['PRIORITY', 1_845_501_695],
      ['ICE-CONTROLLING', 0x0102_0304_0506_0708n],
    ],
    integrity: [{ key, algorithm: 'sha-1' }],
    fingerprint: true,
  };
  const bytes = encodeStun(check);
  const room = new Uint8Array(256);
  return [
    ['STUN: write a connectivity check with MESSAGE-INTEGRITY', () => writeStun(new ByteWriter(room), check)],
    ['STUN: read a connectivity check and its FINGERPRINT', () => decodeStun(bytes)],
    ['STUN: read a connectivity check and verify its integrity', () => verifyIntegrity(decodeStun(bytes), key)],
  ];
}

function sctp() {
  const packet = new Uint8Array(1200);
  const data = createDataFields();
  const sack = createSackFields();
  const ack = new Uint8Array(SACK_HEADER_BYTES);
  writeSackHeader(ack, 0, 1, 1 << 20, 0, 0);
  const whole = DATA_FLAG.BEGIN | DATA_FLAG.END;
  const write = () => writeDataHeader(packet, 12, whole, DATA_CHUNK_BYTES - 16, 1, 0, 0, PPID_BINARY);
  write();
  return [
    ['SCTP: write the header of a DATA chunk', write],
    ['SCTP: read a DATA chunk', () => readData(packet, 12, 12 + DATA_CHUNK_BYTES, data)],
    ['SCTP: write a SACK', () => writeSackHeader(ack, 0, 1, 1 << 20, 0, 0)],
    ['SCTP: read a SACK', () => readSack(ack, 0, SACK_HEADER_BYTES, sack)],
  ];
}

function dcep() {
  const open = {
    type: 'open',
    ordered: true,
    maxRetransmits: undefined,
    maxPacketLifeTime: undefined,
    priority: 256,
    label: 'a label',
    protocol: '',
  };
  const bytes = encodeDcep(open);
  return [
    ['DCEP: write DATA_CHANNEL_OPEN', () => encodeDcep(open)],
    ['DCEP: read DATA_CHANNEL_OPEN', () => decodeDcep(bytes)],
  ];
}

function dtls() {
  const hello = {
    version: 0xfefd,
    random: new Uint8Array(32).fill(3),
    sessionId: new Uint8Array(0),
    cookie: new Uint8Array(0),
    cipherSuites: [0xc02b, 0xcca9, 0xc02c],
    compressionMethods: Uint8Array.of(0),
    extensions: EXTENSIONS,
  };
  const bytes = encodeClientHello(hello);
  return [
    ['DTLS: write a ClientHello', () => encodeClientHello(hello)],
    ['DTLS: read a ClientHello', () => decodeClientHello(bytes)],
  ];
}
