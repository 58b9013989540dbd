import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { certificateFingerprint, certificateToPem, encodePem, generateCertificate } from '../../src/crypto/index.ts';
import type { DtlsSession } from '../../src/dtls/index.ts';
import { TicketKeys } from '../../src/dtls/index.ts';
import { platform } from '../../src/io/index.ts';
import {
  DtlsError,
  type DtlsPeer,
  DtlsServer,
  type DtlsServerOptions,
  DtlsSocket,
  type DtlsSocketOptions,
  type LogEntry,
} from '../../src/server/index.ts';
import { hostileDtls, joined } from './hostile-dtls.ts';

const { env } = platform;
const AUTHORITY = generateCertificate(env, { commonName: 'authority', basicConstraints: { ca: true } });
const CERTIFICATE = generateCertificate(env, {
  commonName: 'server',
  issuer: AUTHORITY,
  subjectAltNames: ['127.0.0.1'],
});
const CA = encodePem('CERTIFICATE', AUTHORITY.der);
const FINGERPRINT = certificateFingerprint(env.crypto, 'sha-256', CERTIFICATE.der);
const KEY = new Uint8Array(16).fill(7);

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

/** What happened, in words, and promises for it. */
class Journal {
  readonly lines: string[] = [];
  #waiting: (() => void)[] = [];

  readonly note = (line: string): void => {
    this.lines.push(line);
    for (const wake of this.#waiting.splice(0)) wake();
  };

  async has(line: string, times = 1): Promise<void> {
    while (this.lines.filter((other) => other === line).length < times) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** A server that echoes. */
async function serve(options: Partial<DtlsServerOptions> = {}) {
  const journal = new Journal();
  const server = new DtlsServer({
    certificate: CERTIFICATE,
    onConnection: () => journal.note('connected'),
    onMessage: (bytes, peer) => {
      journal.note(text(bytes));
      peer.send(bytes);
    },
    onMigrate: () => journal.note('migrated'),
    onClose: (_peer, error) => journal.note(`closed ${error?.message ?? 'in peace'}`),
    log: (entry: LogEntry) => {
      if (entry.level === 'warn') journal.note(`${entry.event}: ${entry['reason']}`);
    },
    ...options,
  });
  closers.push(() => server.close());
  const { port } = await server.listen({ port: 0 });
  return { server, port, journal };
}

async function connect(port: number, options: Partial<DtlsSocketOptions> = {}) {
  const journal = new Journal();
  const socket = await DtlsSocket.connect({
    host: '127.0.0.1',
    port,
    onMessage: (bytes) => journal.note(text(bytes)),
    onClose: (error) => journal.note(`closed ${error?.message ?? 'in peace'}`),
    ...options,
  });
  closers.push(() => socket.close());
  return { socket, journal };
}

describe('DtlsSocket and DtlsServer', () => {
  it('exchange messages, each whole, and close on both sides', async () => {
    const { server, port, journal: theirs } = await serve();
    const { socket, journal } = await connect(port, { ca: CA });
    expect(socket.negotiated).toMatchObject({ extendedMasterSecret: true, resumed: false });
    expect(socket.peerCertificates[0]).toEqual(CERTIFICATE.der);
    for (const message of ['one', 'zwei', 'x'.repeat(16_000)]) {
      socket.send(message);
      await journal.has(message);
    }
    const label = 'EXPORTER-test';
    expect(server.peers[0]?.exportKeyingMaterial(label, undefined, 32)).toEqual(
      socket.exportKeyingMaterial(label, undefined, 32),
    );
    socket.close();
    socket.close();
    await theirs.has('closed in peace');
    expect([journal.lines.at(-1), socket.state, server.connectionCount, server.peers]).toEqual([
      'closed in peace',
      'closed',
      0,
      [],
    ]);
    expect(() => socket.send('late')).toThrow('cannot send');
  });

  it.each([
    ['a fingerprint', { fingerprint: FINGERPRINT }],
    [
      'one of several fingerprints',
      { fingerprint: [`sha-512 ${'00:'.repeat(63)}00`, `SHA-256 ${FINGERPRINT.toLowerCase()}`] },
    ],
    ['an authority', { ca: [CA] }],
    ['a judgement of its own', { verifyPeer: () => undefined }],
  ] as const)('the server is known by %s', async (_, trust) => {
    const { port } = await serve();
    const { socket } = await connect(port, trust);
    expect(socket.state).toBe('connected');
  });

  it.each([
    [
      'another fingerprint',
      { fingerprint: `${'AA:'.repeat(31)}AA` },
      /the fingerprint is another: sha-256 [0-9A-F:]{95}/,
    ],
    ['another authority', { ca: encodePem('CERTIFICATE', generateCertificate(env).der) }, /nobody trusted has signed/],
    ['another name', { ca: CA, serverName: 'other.example' }, /not for other\.example/],
    ['its own judgement', { verifyPeer: () => 'access_denied' }, /access_denied/],
    ['the authorities of this machine', {}, /nobody trusted has signed/],
  ] as const)('the server is refused by %s', async (_, trust, reason) => {
    const { port, journal, server } = await serve();
    const refused = connect(port, trust);
    await expect(refused).rejects.toThrow(reason);
    await expect(refused).rejects.toMatchObject({ name: 'DtlsError', failure: { by: 'local' } });
    await journal.has(`handshake-failed: the peer sent ${await alertOf(refused)}`);
    expect(server.connectionCount).toBe(0);
  });

  it('a client that must show a certificate shows it, or is refused', async () => {
    const own = generateCertificate(env, { commonName: 'client', issuer: AUTHORITY });
    const people: DtlsPeer[] = [];
    const { port, journal } = await serve({ ca: CA, onConnection: (peer) => people.push(peer) });
    const pem = certificateToPem(own);
    await connect(port, { ca: CA, certificate: { cert: pem, key: pem } });
    expect(people[0]?.certificates).toEqual([own.der]);
    await expect(connect(port, { ca: CA, certificate: generateCertificate(env) })).rejects.toThrow('unknown_ca');
    expect(journal.lines).toContainEqual(expect.stringMatching(/^certificate-refused: nobody trusted has signed/));
    await expect(connect(port, { ca: CA })).rejects.toThrow(DtlsError);
  });

  it('a key of both sides takes the place of certificates', async () => {
    const psk = (identity: Uint8Array) => (text(identity) === 'sensor' ? KEY : undefined);
    const server = new DtlsServer({ psk, onMessage: (bytes, peer) => peer.send(bytes) });
    closers.push(() => server.close());
    const { port } = await server.listen({ port: 0 });
    const { socket, journal } = await connect(port, { psk: { identity: 'sensor', key: KEY } });
    expect(socket.negotiated?.cipherSuite).toContain('_PSK_');
    socket.send('21.5 °C');
    await journal.has('21.5 °C');
    await expect(connect(port, { psk: { identity: 'stranger', key: KEY } })).rejects.toThrow('unknown_psk_identity');
    // Under another key no record can be opened, and bad records are dropped (RFC 6347 §4.1.2.7): nobody says why.
    const wrong = connect(port, { psk: { identity: 'sensor', key: new Uint8Array(16) }, timeoutMs: 100 });
    await expect(wrong).rejects.toThrow('has not answered');
  });

  it('serves 1,000 clients on one port, and leaves nothing behind', async () => {
    const { server, port } = await serve({ psk: () => KEY });
    const psk = { identity: 'one of many', key: KEY };
    const cipherSuites = ['TLS_PSK_WITH_AES_128_GCM_SHA256'] as const;
    const guests: Awaited<ReturnType<typeof connect>>[] = [];
    for (let n = 0; n < 1000; n += 50) {
      guests.push(...(await Promise.all(Array.from({ length: 50 }, () => connect(port, { psk, cipherSuites })))));
    }
    expect([server.connectionCount, server.peers.length]).toEqual([1000, 1000]);
    for (const [n, { socket, journal }] of guests.entries()) {
      socket.send(`message ${n}`);
      await journal.has(`message ${n}`);
    }
    server.close();
    await Promise.all(guests.map(({ journal }) => journal.has('closed in peace')));
    expect([server.connectionCount, server.peers.length]).toEqual([0, 0]);
    expect(guests.every(({ journal }) => journal.lines.length === 2)).toBe(true);
  });

  it.each(['127.0.0.1', '::1'])(
    'a client on %s that changes its port keeps its association (RFC 9146)',
    async (host) => {
      const { server, journal: theirs } = await serve();
      const { port } = await server.listen({ host, port: 0 });
      const { socket, journal } = await connect(port, { host, fingerprint: FINGERPRINT });
      expect(socket.negotiated?.sendConnectionId?.length).toBe(8);
      const [peer] = server.peers;
      const before = peer?.remote;
      const { port: after } = await socket.rebind();
      // One record shows that it is the same peer, several that it can be reached there.
      for (let n = 1; !theirs.lines.includes('migrated'); n++) {
        socket.send('from elsewhere');
        await journal.has('from elsewhere', n);
      }
      expect(peer?.remote).toEqual({ ip: host, port: after });
      expect(peer?.remote).not.toEqual(before);
      expect(theirs.lines.filter((line) => line === 'connected')).toHaveLength(1);
      socket.close();
      await theirs.has('closed in peace');
      await expect(socket.rebind()).rejects.toThrow('cannot change the address: closed');
    },
  );

  it('closes idle clients', async () => {
    const { server, port } = await serve({ idleTimeoutMs: 60 });
    const { journal } = await connect(port, { ca: CA });
    await journal.has('closed in peace');
    expect(server.connectionCount).toBe(0);
  });

  it('takes no more clients than its bound', async () => {
    const { server, port } = await serve({ maxConnections: 1 });
    await connect(port, { ca: CA });
    await expect(connect(port, { ca: CA, timeoutMs: 100 })).rejects.toThrow('has not answered the handshake in 100 ms');
    expect(server.drops.get('limit')).toBeGreaterThan(0);
    const { port: other } = await serve({ accept: () => false });
    await expect(connect(other, { ca: CA, signal: AbortSignal.timeout(50) })).rejects.toThrow('timeout');
  });

  it('may be closed from within a callback, and says goodbye to everyone', async () => {
    const { server, port } = await serve({ onMessage: () => server.close() });
    const guests = [await connect(port, { ca: CA }), await connect(port, { ca: CA })];
    guests[0]?.socket.send('the end');
    for (const { journal } of guests) await journal.has('closed in peace');
    await expect(connect(port, { ca: CA, timeoutMs: 50 })).rejects.toThrow('has not answered');
  });

  it('a client may close from within its callback', async () => {
    const { port, journal: theirs } = await serve({ onConnection: (peer) => peer.send('welcome') });
    const welcome = new Journal();
    await connect(port, {
      ca: CA,
      onMessage: (bytes, socket) => {
        welcome.note(text(bytes));
        socket.close();
      },
    });
    await welcome.has('welcome');
    await theirs.has('closed in peace');
  });

  it('last words that come together with the goodbye are heard, and the answer to them is lost', async () => {
    const answers: boolean[] = [];
    const { port, journal } = await serve({
      onConnection: (peer) => void answers.push(peer.send('welcome')),
      onMessage: (bytes, peer) => {
        journal.note(text(bytes));
        answers.push(peer.send(bytes));
        peer.close();
        expect(() => peer.send(bytes)).toThrow('cannot send: closed'); // who closes it knows that it is closed
      },
    });
    const { client, driver, settled, close } = await hostileDtls({ ip: '127.0.0.1', port }, {}, joined);
    closers.push(close);
    await settled;
    driver.mutate((now) => {
      client.send(utf8('last words'), now);
      client.close(now);
    });
    await journal.has('closed in peace');
    expect(journal.lines).toEqual(['last words', 'closed in peace']);
    expect(answers).toEqual([true, false]);
  });

  it('resumes a session with the next connection', async () => {
    const { port } = await serve({ ticketKeys: new TicketKeys(env) });
    const { socket } = await connect(port, { ca: CA, tickets: true });
    const session: DtlsSession | undefined = socket.session;
    const { socket: next } = await connect(port, { ca: CA, ...(session === undefined ? {} : { session }) });
    expect(next.negotiated?.resumed).toBe(true);
  });

  it('options without sense are refused', async () => {
    expect(() => new DtlsServer({})).toThrow('a certificate or a psk is needed');
    expect(() => new DtlsServer({ certificate: CERTIFICATE, ca: 'no PEM' })).toThrow('no certificate in ca');
    expect(() => new DtlsServer({ certificate: CERTIFICATE, connectionIdBytes: 1 })).toThrow('connectionIdBytes');
    for (const fingerprint of ['', 'AB:CD', `sha-1 ${'00:'.repeat(19)}00`, `sha-256 ${'0'.repeat(63)}`]) {
      await expect(connect(1, { fingerprint })).rejects.toThrow('fingerprint');
    }
    await expect(connect(1, { host: '127.0.0.1', family: 6 })).rejects.toThrow('127.0.0.1 has no IPv6 address');
    await expect(connect(1, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  });
});

async function alertOf(refused: Promise<unknown>): Promise<string> {
  const error: unknown = await refused.catch((reason: unknown) => reason);
  return error instanceof DtlsError ? String(error.failure?.alert) : String(error);
}
