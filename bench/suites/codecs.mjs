/** Nanoseconds of single operations of our own code: where a packet's time goes. One process, no sockets. */
import { crc32, crc32c, crc32cWithHole, createTransmitSlot } from 'purertc/core';
import { chooseOwnCipher, nobleCrypto, ownCipher, withRecordCipher } from 'purertc/crypto';
import { parseCandidate } from 'purertc/ice';
import { nodeCrypto } from 'purertc/io';
import { parseSdp, writeSdp } from 'purertc/sdp';
import { wireCodecs } from './wire-codecs.mjs';

const PACKET_BYTES = 1200;
const LONGEST_RECORD = 16_384;
const SUBJECT = 'purertc';

/** Nanoseconds a call: the best of five runs of 40 ms each, after a warm-up. */
function nanoseconds(operation) {
  for (let end = performance.now() + 30; performance.now() < end; ) operation();
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 5; run++) {
    const start = performance.now();
    let calls = 0;
    let elapsed = 0;
    while (elapsed < 40) {
      for (let i = 0; i < 50; i++) operation();
      calls += 50;
      elapsed = performance.now() - start;
    }
    best = Math.min(best, (elapsed * 1e6) / calls);
  }
  return best;
}

const SDP = [
  'v=0',
  'o=- 4962303333179871722 2 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  'a=ice-ufrag:Aa+/',
  'a=ice-pwd:abcdefghijklmnopqrstuv',
  `a=fingerprint:sha-256 ${Array(32).fill('5A').join(':')}`,
  'a=setup:actpass',
  'a=mid:0',
  'a=sctp-port:5000',
  '',
].join('\r\n');
const CANDIDATE =
  'candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.17 rport 46154 generation 0';

export async function codecs(report) {
  const packet = new Uint8Array(PACKET_BYTES).fill(7);
  const record = (name, operation) => report.record(`${name}, ns`, SUBJECT, nanoseconds(operation));
  record('CRC32c of 1,200 bytes', () => crc32c(packet));
  record('SCTP checksum of 1,200 bytes', () => crc32cWithHole(packet, 0, PACKET_BYTES, 8));
  record('CRC-32 of 100 bytes', () => crc32(packet, 0, 100));
  record('parse an offer', () => parseSdp(SDP));
  const model = parseSdp(SDP);
  record('write an offer', () => writeSdp(model));
  record('parse a candidate', () => parseCandidate(CANDIDATE));
  for (const [name, operation] of wireCodecs()) record(name, operation);
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(13);
  const slot = createTransmitSlot(LONGEST_RECORD);
  const backends = { node: nodeCrypto, noble: nobleCrypto };
  /** Ours has one AEAD and nothing else. */
  const recordCiphers = {};
  for (const own of [ownCipher(), chooseOwnCipher(undefined)]) {
    recordCiphers[`record cipher in ${own.implementation}`] = withRecordCipher(nobleCrypto, LONGEST_RECORD, own);
  }
  for (const [backendName, backend] of Object.entries({ ...backends, ...recordCiphers })) {
    const names = backendName in recordCiphers ? ['chacha20-poly1305'] : ['aes-128-gcm', 'chacha20-poly1305'];
    for (const name of names) {
      const aead = backend.createAead(name, new Uint8Array(name.startsWith('aes-128') ? 16 : 32));
      for (const length of [100, PACKET_BYTES, LONGEST_RECORD]) {
        const seal = () => aead.seal(nonce, aad, slot.buffer, 13, length);
        record(`${backendName}: seal ${length} bytes with ${name}`, seal);
      }
    }
    if (backendName in recordCiphers) continue;
    record(`${backendName}: X25519 key and secret`, () => backend.generateKeyShare('x25519').deriveSecret(PEER_KEY));
    const key = backend.generateSigningKey('ecdsa-p256');
    record(`${backendName}: ECDSA P-256 signature`, () => key.sign('ecdsa_secp256r1_sha256', packet));
  }
}

const PEER_KEY = nodeCrypto.generateKeyShare('x25519').publicKey;
