/** What DTLS is measured next to: the handshakes and records of werift's DTLS, in memory too, and what OpenSSL's bare algorithms take. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { benchFolder } from '../subjects.mjs';

const run = promisify(execFile);
/** RFC 5246 §7.4.1.4.1: SHA-256 with ECDSA. */
const ECDSA_SHA256 = { hash: 4, signature: 3 };
/** Records sent before the other end is looked at: its API is asynchronous. */
const BATCH = 64;

/** @returns werift, or undefined when `npm run bench:setup` has not installed it. */
export async function loadWerift() {
  if (!existsSync(join(benchFolder, 'node_modules', 'werift'))) return undefined;
  const { resolve } = createRequire(join(benchFolder, 'package.json'));
  return import(pathToFileURL(resolve('werift')));
}

/** Two transports in memory, as werift's DTLS takes them. */
function transportPair() {
  const make = () => ({
    type: 'udp',
    onData: () => undefined,
    send(data) {
      const copy = Buffer.from(data);
      queueMicrotask(() => this.other.onData(copy, ['127.0.0.1', 1]));
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  });
  const [a, b] = [make(), make()];
  a.other = b;
  b.other = a;
  return [a, b];
}

/** A handshake with certificates both ways, as WebRTC makes it. @param pem - certificate and PKCS #8 key. */
async function shakeHands({ DtlsClient, DtlsServer }, pem) {
  const [a, b] = transportPair();
  const options = { ...pem, signatureHash: ECDSA_SHA256, extendedMasterSecret: true };
  const server = new DtlsServer({ ...options, transport: b, certificateRequest: true });
  const client = new DtlsClient({ ...options, transport: a });
  await new Promise((resolve, reject) => {
    let left = 2;
    for (const end of [client, server]) {
      end.onConnect.once(() => {
        left--;
        if (left === 0) resolve();
      });
      end.onError.once(reject);
    }
    client.connect().catch(reject);
  });
  return { client, server };
}

export async function weriftDtls(report, subject, pem, recordBytes, milliseconds) {
  const werift = await loadWerift();
  if (werift === undefined) return report.fail('werift: handshakes/s', subject, 'npm run bench:setup installs it');
  for (let i = 0; i < 5; i++) await shakeHands(werift, pem);
  const cpu = process.cpuUsage();
  const start = performance.now();
  let calls = 0;
  for (; performance.now() < start + milliseconds; calls++) await shakeHands(werift, pem);
  const { user, system } = process.cpuUsage(cpu);
  report.record('werift, AES-128-GCM: handshakes/s', subject, (calls * 1000) / (performance.now() - start));
  report.record('werift, AES-128-GCM: CPU per handshake, both ends, ms', subject, (user + system) / 1000 / calls);
  const { client, server } = await shakeHands(werift, pem);
  for (const length of recordBytes) {
    const record = Buffer.alloc(length);
    let received = 0;
    const { unSubscribe } = server.onData.subscribe((bytes) => {
      received += bytes.length;
    });
    const from = performance.now();
    while (performance.now() < from + milliseconds / 4) {
      const wanted = received + BATCH * length;
      for (let i = 0; i < BATCH; i++) await client.send(record);
      while (received < wanted) await new Promise(setImmediate);
    }
    report.record(
      `werift, AES-128-GCM: seal and open ${length} bytes, MB/s`,
      subject,
      received / (performance.now() - from) / 1000,
    );
    unSubscribe();
  }
}

/** Machine-readable lines of `openssl speed`. */
async function speed(args) {
  const { stdout } = await run('openssl', ['speed', '-mr', '-seconds', '1', ...args]);
  return stdout.split('\n').map((line) => line.split(':'));
}

/** The algorithms alone: what no implementation on this machine can go below with OpenSSL's own. */
export async function opensslSpeed(report, subject, recordBytes) {
  try {
    const rows = await speed(['ecdsap256', 'ecdhx25519']);
    const ecdsa = rows.find(([kind]) => kind === '+F4');
    const ecdh = rows.find(([kind]) => kind === '+F5');
    const [signMs, verifyMs, deriveMs] = [1000 / ecdsa[3], 1000 / ecdsa[4], 1000 / ecdh[3]];
    // Both ends: make a share, derive, sign and verify.
    report.record(
      'openssl speed: key exchange and signatures of a handshake, ms',
      subject,
      4 * deriveMs + 2 * signMs + 2 * verifyMs,
    );
    for (const length of recordBytes) {
      for (const cipher of ['aes-128-gcm', 'chacha20-poly1305']) {
        const row = (await speed(['-bytes', String(length), '-aead', '-evp', cipher])).find(([kind]) => kind === '+F');
        // Once to seal and once to open.
        report.record(`openssl speed, ${cipher}: twice ${length} bytes, MB/s`, subject, Number(row[3]) / 2 / 1e6);
      }
    }
  } catch (error) {
    report.fail('openssl speed', subject, error);
  }
}
