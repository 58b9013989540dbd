import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  connectDtls,
  type DtlsConnectOptions,
  type DtlsListenOptions,
  listenDtls,
  MAX_WAITING_OUTPUT_BYTES,
  parseDtlsTarget,
  streamTerminal,
  type Terminal,
} from '../../src/cli/dtls-terminal.ts';
import { type TransportAddress, utf8 } from '../../src/core/index.ts';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/index.ts';
import { DtlsSocket } from '../../src/server/index.ts';
import { temporaryFolder } from './support.ts';

let pem: string;
let otherPem: string;
const cleanUps: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  const folder = await temporaryFolder();
  const write = async (name: string, subjectAltNames: readonly string[]) => {
    const file = join(folder.path, name);
    await writeFile(file, certificateToPem(generateCertificate(platform.env, { subjectAltNames })));
    return file;
  };
  pem = await write('own.pem', ['127.0.0.1']);
  otherPem = await write('other.pem', ['127.0.0.1']);
  return folder.remove;
});
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A person who types and reads. */
class Person implements Terminal {
  output = '';
  readonly reports: string[] = [];
  #onBytes: (bytes: Uint8Array) => void = () => undefined;
  #onEnd: () => void = () => undefined;
  #waiting: (() => void)[] = [];
  reading = false;

  read(onBytes: (bytes: Uint8Array) => void, onEnd: () => void): () => void {
    this.#onBytes = onBytes;
    this.#onEnd = onEnd;
    this.reading = true;
    this.#changed();
    return () => {
      this.reading = false;
    };
  }

  write(bytes: Uint8Array): void {
    this.output += new TextDecoder().decode(bytes);
    this.#changed();
  }

  report(line: string): void {
    this.reports.push(line);
    this.#changed();
  }

  type(text: string): void {
    this.#onBytes(utf8(text));
  }

  endInput(): void {
    this.#onEnd();
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

async function listen(options: Partial<DtlsListenOptions> = {}) {
  const person = new Person();
  const abort = new AbortController();
  let done: Promise<void> = Promise.resolve();
  const { port } = await new Promise<TransportAddress>((resolve, reject) => {
    const all = { host: '127.0.0.1', port: 0, pskIdentity: 'someone', ...options };
    done = listenDtls(all, platform, person, () => undefined, abort.signal, resolve);
    done.catch(reject);
  });
  cleanUps.push(() => {
    abort.abort();
    return done;
  });
  return { person, port, done, abort };
}

function connect(port: number, options: Partial<DtlsConnectOptions> = {}) {
  const person = new Person();
  const abort = new AbortController();
  const all = { pskIdentity: 'someone', timeoutMs: 5000, ...options };
  const done = connectDtls({ host: '127.0.0.1', port }, all, platform, person, abort.signal);
  cleanUps.push(() => {
    abort.abort();
    return done.catch(() => undefined);
  });
  return { person, done, abort };
}

const fingerprintOf = (reports: readonly string[]): string => /sha-256 (\S+)/.exec(reports.join('\n'))?.[1] ?? '';

describe('purertc dtls', () => {
  it('carries what is typed both ways, longer input in several records, and ends with the input', async () => {
    const server = await listen();
    const client = connect(server.port, { fingerprint: [fingerprintOf(server.person.reports)], alpn: 'a,b' });
    await client.person.until(() => client.person.reading);
    const long = 'x'.repeat(5000);
    client.person.type(long);
    await server.person.until(() => server.person.output.length >= 5000);
    expect([...server.person.output].sort()).toEqual([...long]);
    server.person.type('welcome');
    await client.person.until(() => client.person.output === 'welcome');
    expect(client.person.reports).toEqual([
      `connected to 127.0.0.1:${server.port}`,
      'cipher suite: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, group x25519',
      expect.stringMatching(/^peer certificate: sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
      'verification: ok, by its fingerprint',
    ]);
    client.person.endInput();
    await client.done;
    await server.person.until(() => server.person.reports.some((line) => line.endsWith('is gone')));
    expect(client.person.reading).toBe(false);
  });

  it('cuts what is typed into records as short as the peer wants them', async () => {
    const server = await listen({ cert: pem });
    const records: number[] = [];
    const socket = await DtlsSocket.connect({
      host: '127.0.0.1',
      port: server.port,
      verifyPeer: () => undefined,
      recordSizeLimitBytes: 64,
      onMessage: (bytes) => void records.push(bytes.length),
    });
    cleanUps.push(() => socket.close());
    await server.person.until(() => server.person.reading);
    server.person.type('x'.repeat(150));
    await expect.poll(() => records.toSorted()).toEqual([22, 64, 64]);
  });

  it('serves several at once, and says goodbye when it is stopped', async () => {
    const server = await listen({ cert: pem });
    const clients = [connect(server.port, { ca: [pem] }), connect(server.port, { ca: [pem], ignoreEof: true })];
    for (const { person } of clients) await person.until(() => person.reading);
    server.person.type('to all');
    for (const { person } of clients) {
      await person.until(() => person.output === 'to all');
      expect(person.reports.at(-1)).toBe('verification: ok, by an authority of --ca');
    }
    clients[1]?.person.endInput(); // --ignore-eof
    server.abort.abort();
    await Promise.all([server.done, ...clients.map(({ done }) => done)]);
  });

  it('refuses what it cannot verify, or goes on and says so', async () => {
    const server = await listen({ cert: pem });
    await expect(connect(server.port, { ca: [otherPem] }).done).rejects.toThrow('nobody trusted has signed');
    await expect(connect(server.port).done).rejects.toThrow('nobody trusted has signed');
    const bold = connect(server.port, { insecure: true });
    await bold.person.until(() => bold.person.reading);
    expect(bold.person.reports.at(-1)).toMatch(/^verification: FAILED, and ignored \(--insecure\): nobody trusted/);
  });

  it('asks peers for a certificate with --ca, and ends with the first with --once', async () => {
    const server = await listen({ cert: pem, ca: [pem], once: true });
    await expect(connect(server.port, { ca: [pem], cert: otherPem }).done).rejects.toThrow('unknown_ca');
    // An IP address is no server name (RFC 6066 §3), but what the certificate must be for.
    const right = connect(server.port, { ca: [pem], cert: pem, servername: '127.0.0.1' });
    await right.person.until(() => right.person.reading);
    expect(server.person.reports).toContain('verification: ok, by an authority of --ca');
    right.person.endInput();
    await Promise.all([right.done, server.done]);
  });

  it('takes a pre-shared key, under its name only, and logs secrets where asked', async () => {
    const folder = await temporaryFolder();
    cleanUps.push(folder.remove);
    const keylog = join(folder.path, 'keys');
    const server = await listen({ psk: '00ff', pskIdentity: 'sensor' });
    const client = connect(server.port, { psk: '00FF', pskIdentity: 'sensor', keylog });
    await client.person.until(() => client.person.reading);
    expect(client.person.reports).toContain('peer certificate: none');
    expect(await readFile(keylog, 'utf8')).toMatch(/^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n$/);
    const stranger = connect(server.port, { psk: '00ff', pskIdentity: 'stranger' });
    await expect(stranger.done).rejects.toThrow('unknown_psk_identity');
  });

  it.each<[string, Partial<DtlsConnectOptions>, string]>([
    ['a key without its certificate', { key: 'x' }, '--key needs --cert'],
    ['two ways to trust', { ca: ['x'], fingerprint: ['y'] }, 'exclude each other'],
    ['a key that is not hexadecimal', { psk: '0g' }, 'hexadecimal'],
    ['a file that is not there', { ca: ['/nowhere/at/all'] }, 'cannot read /nowhere/at/all'],
  ])('refuses %s', async (_, options, reason) => {
    await expect(connect(9, options).done).rejects.toThrow(reason);
  });

  it('an interrupted handshake ends', async () => {
    const client = connect(9, { insecure: true });
    client.abort.abort();
    await expect(client.done).rejects.toThrow('aborted');
  });
});

describe('streamTerminal', () => {
  it(`MAX_WAITING_OUTPUT_BYTES: ${MAX_WAITING_OUTPUT_BYTES} bytes wait for a reader that does not read, no more`, () => {
    const taken: number[] = [];
    const stuck = new Writable({ write: (chunk: Uint8Array) => void taken.push(chunk.length) }); // never done
    const reports: string[] = [];
    const terminal = streamTerminal(Readable.from([]), stuck, (line) => void reports.push(line));
    const message = new Uint8Array(16_384);
    for (let n = 0; n < MAX_WAITING_OUTPUT_BYTES / message.length; n++) terminal.write(message);
    expect([stuck.writableLength, reports]).toEqual([MAX_WAITING_OUTPUT_BYTES, []]);
    for (let n = 0; n < 100; n++) terminal.write(message);
    expect(stuck.writableLength).toBe(MAX_WAITING_OUTPUT_BYTES);
    expect(reports).toEqual(['the output is read too slowly: messages are lost']);
    expect(taken).toEqual([message.length]);
  });
});

describe('parseDtlsTarget', () => {
  it.each([
    ['example.org:5684', 'example.org', 5684],
    ['192.0.2.1:1', '192.0.2.1', 1],
    ['[2001:db8::1]:65535', '2001:db8::1', 65_535],
  ])('%s', (text, host, port) => expect(parseDtlsTarget(text)).toEqual({ host, port }));

  it.each(['', 'host', 'host:', ':1', 'host:0', 'host:65536', '::1:443', '[::1]', 'a:b'])('%j is refused', (text) => {
    expect(() => parseDtlsTarget(text)).toThrow('not HOST:PORT');
  });
});
