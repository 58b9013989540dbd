/**
 * DTLS alone, client and server in one process without sockets: handshakes a second, CPU time of each (both ends together), and
 * records, by suite and crypto backend; `node:tls` over a pair of in-memory streams, werift's DTLS and `openssl speed` beside it.
 */
import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket, connect as tlsConnect } from 'node:tls';
import { createTransmitSlot, resetTransmitSlot, SILENT } from 'purertc/core';
import { certificateToPem, generateCertificate, nobleCrypto, withRecordCipher } from 'purertc/crypto';
import { DtlsClient, DtlsServer } from 'purertc/dtls';
import { nodeCrypto } from 'purertc/io';
import { opensslSpeed, weriftDtls } from './dtls-others.mjs';

const SUBJECT = 'purertc';
const RECORD_BYTES = [100, 1200, 16_384];
const SUITES = {
  'AES-128-GCM': 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'AES-256-GCM': 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'ChaCha20-Poly1305': 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'AES-128-CCM': 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM',
};
const BACKENDS = { node: nodeCrypto, 'node with record cipher': withRecordCipher(nodeCrypto), noble: nobleCrypto };

const envOf = (crypto) => ({
  random: (out) => crypto.random(out),
  wallClockMs: () => Date.now(),
  crypto,
  trace: SILENT,
});

/** Carries every datagram of one end to the other. */
function pump(slot, from, to, now) {
  let moved = false;
  for (resetTransmitSlot(slot); from.pollTransmit(slot, now); resetTransmitSlot(slot)) {
    to.handleInput(slot.buffer.slice(slot.offset, slot.offset + slot.length), undefined, now);
    moved = true;
  }
  return moved;
}

/** A whole handshake as WebRTC makes it: certificates both ways, no cookie. */
function shakeHands(env, certificate, cipherSuite, slot) {
  const options = { env, certificate, verifyPeer: () => undefined, cipherSuites: [cipherSuite] };
  const client = new DtlsClient(options);
  const server = new DtlsServer({ ...options, cookieExchange: false, requestClientCertificate: true });
  client.start(0);
  let moved = true;
  while (moved) {
    moved = pump(slot, client, server, 0);
    moved = pump(slot, server, client, 0) || moved;
  }
  for (const end of [client, server]) {
    if (end.state !== 'connected') throw new Error(`the ${end.role} is ${end.state}`);
    while (end.pollEvent() !== undefined);
  }
  return { client, server };
}

/** Runs an operation for a while. @returns calls and milliseconds of wall clock and CPU. */
function during(milliseconds, operation) {
  for (const warm = performance.now() + milliseconds / 4; performance.now() < warm; ) operation();
  const cpu = process.cpuUsage();
  const start = performance.now();
  let calls = 0;
  while (performance.now() < start + milliseconds) {
    operation();
    calls++;
  }
  const { user, system } = process.cpuUsage(cpu);
  return { calls, wallMs: performance.now() - start, cpuMs: (user + system) / 1000 };
}

function records(report, name, env, certificate, suite, milliseconds) {
  const slot = createTransmitSlot(20_000);
  const { client, server } = shakeHands(env, certificate, suite, slot);
  for (const length of RECORD_BYTES) {
    // No copy in between: sealed and opened in the same buffer, as on the path of a data channel.
    const { calls, wallMs } = during(milliseconds, () => {
      resetTransmitSlot(slot);
      slot.offset += client.recordHeadroom;
      slot.length = length;
      client.sealInPlace(slot);
      server.handleInput(slot.buffer.subarray(slot.offset, slot.offset + slot.length), undefined, 0);
      while (server.pollEvent() !== undefined);
    });
    if (server.drops.total > 0) throw new Error(`${name}: records were dropped`);
    report.record(`${name}: seal and open ${length} bytes, MB/s`, SUBJECT, (calls * length) / wallMs / 1000);
  }
}

/** Two ends of a byte stream in memory. */
function streamPair() {
  const make = () =>
    new Duplex({
      read: () => undefined, // what the other end writes is pushed at once
      write(chunk, _encoding, done) {
        this.other.push(chunk);
        done();
      },
      final(done) {
        this.other.push(null);
        done();
      },
    });
  const [a, b] = [make(), make()];
  a.other = b;
  b.other = a;
  return [a, b];
}

async function nodeTlsHandshakes(report, milliseconds) {
  const pem = certificateToPem(generateCertificate(envOf(nodeCrypto)));
  const options = {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    ecdhCurve: 'X25519:P-256',
  };
  const secureContext = createSecureContext({ cert: pem, key: pem, ...options });
  const handshake = () =>
    new Promise((resolve, reject) => {
      const [a, b] = streamPair();
      const server = new TLSSocket(b, { isServer: true, secureContext, requestCert: true, rejectUnauthorized: false });
      const client = tlsConnect({ socket: a, secureContext, rejectUnauthorized: false });
      server.once('error', reject);
      client.once('error', reject);
      server.once('secure', () => {
        client.destroy();
        server.destroy();
        resolve();
      });
    });
  for (let i = 0; i < 3; i++) await handshake();
  const cpu = process.cpuUsage();
  const start = performance.now();
  let calls = 0;
  for (; performance.now() < start + milliseconds; calls++) await handshake();
  const { user, system } = process.cpuUsage(cpu);
  report.record('node:tls (OpenSSL), AES-128-GCM: handshakes/s', SUBJECT, (calls * 1000) / (performance.now() - start));
  report.record('node:tls (OpenSSL), AES-128-GCM: CPU per handshake, ms', SUBJECT, (user + system) / 1000 / calls);
}

export async function dtls(report, _name, options) {
  const milliseconds = options.milliseconds / 4;
  for (const [backendName, backend] of Object.entries(BACKENDS)) {
    const env = envOf(backend);
    const certificate = generateCertificate(env);
    const slot = createTransmitSlot(2000);
    for (const [suiteName, suite] of Object.entries(SUITES)) {
      const ownCipher = backendName.includes('record cipher');
      if (ownCipher && suiteName !== 'ChaCha20-Poly1305') continue; // the others are the same as without it
      const name = `${backendName}, ${suiteName}`;
      if (suiteName === 'AES-128-GCM' || ownCipher) {
        const { calls, wallMs, cpuMs } = during(milliseconds, () => shakeHands(env, certificate, suite, slot));
        report.record(`${name}: handshakes/s`, SUBJECT, (calls * 1000) / wallMs);
        report.record(`${name}: CPU per handshake, both ends, ms`, SUBJECT, cpuMs / calls);
      }
      records(report, name, env, certificate, suite, milliseconds / 4);
    }
  }
  await nodeTlsHandshakes(report, milliseconds);
  const pem = certificateToPem(generateCertificate(envOf(nodeCrypto)));
  const [cert, key] = ['CERTIFICATE', 'PRIVATE KEY'].map((label) => pemBlock(pem, label));
  await weriftDtls(report, SUBJECT, { cert, key }, RECORD_BYTES.slice(0, 2), milliseconds);
  await opensslSpeed(report, SUBJECT, RECORD_BYTES);
}

/** One block of a PEM text. */
function pemBlock(text, label) {
  const end = `-----END ${label}-----\n`;
  return text.slice(text.indexOf(`-----BEGIN ${label}-----`), text.indexOf(end) + end.length);
}
