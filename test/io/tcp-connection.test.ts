import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { ByteStream, TransportAddress } from '../../src/core/index.ts';
import { encodePem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/platform.ts';
import { connectTcp, connectTls, MAX_UNSENT_STREAM_BYTES } from '../../src/io/tcp-connection.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** Listens and keeps what is accepted, so that every connection ends with its test. */
async function listen(server: Server, ip = '127.0.0.1'): Promise<TransportAddress> {
  const accepted = new Set<Socket>();
  server.on('connection', (socket) => {
    accepted.add(socket);
    socket.on('error', () => socket.destroy());
  });
  server.listen(0, ip);
  await once(server, 'listening');
  closers.push(() => {
    server.close();
    for (const socket of accepted) socket.destroy();
  });
  return { ip, port: (server.address() as AddressInfo).port };
}

function echoServer(): Server {
  return createServer((socket) => socket.pipe(socket));
}

/** Handlers that record, and promises for what they record. */
function recorder() {
  let text = '';
  let closed: { readonly error: Error | undefined } | undefined;
  let look: () => void = () => undefined;
  const handlers = {
    onData: (bytes: Uint8Array) => {
      text += new TextDecoder().decode(bytes);
      look();
    },
    onClose: (error: Error | undefined) => {
      closed = { error };
      look();
    },
  };
  const until = (condition: () => boolean) =>
    new Promise<void>((resolve) => {
      look = () => condition() && resolve();
      look();
    });
  return {
    handlers,
    got: (wanted: string) => until(() => text === wanted),
    closed: () => until(() => closed !== undefined).then(() => closed?.error),
  };
}

function say(stream: ByteStream, text: string): boolean {
  const bytes = new TextEncoder().encode(`xx${text}x`);
  const taken = stream.write(bytes, 2, bytes.length - 3);
  bytes.fill(0); // the caller's again
  return taken;
}

/** A server certificate for an address, and its PEM. */
function serverCertificate(ip: string) {
  const certificate = generateCertificate(platform.env, { subjectAltNames: [ip] });
  const key = encodePem('PRIVATE KEY', certificate.key.exportPkcs8());
  return { cert: encodePem('CERTIFICATE', certificate.der), key };
}

describe('connectTcp', () => {
  it.each(['127.0.0.1', '::1'])('carries bytes both ways over %s, from the address that was asked for', async (ip) => {
    const remote = await listen(echoServer(), ip);
    const seen = recorder();
    const stream = await connectTcp(remote, seen.handlers, { localIp: ip });
    expect([stream.local.ip, stream.remote]).toEqual([ip, remote]);
    expect(stream.local.port).toBeGreaterThan(0);
    expect(say(stream, 'hello, ')).toBe(true);
    expect(say(stream, 'world')).toBe(true);
    await seen.got('hello, world');
    stream.close();
  });

  it('what was written before close still leaves, and nothing is called back after it', async () => {
    let received = '';
    const server = createServer((socket) => {
      socket.on('data', (bytes) => {
        received += bytes.toString();
      });
    });
    const remote = await listen(server);
    const accepted = once(server, 'connection').then(([socket]) => once(socket as Socket, 'end'));
    const stream = await connectTcp(remote, { onData: fail, onClose: fail }, {});
    say(stream, 'farewell');
    stream.close();
    stream.close();
    expect(say(stream, 'too late')).toBe(false);
    await accepted;
    expect(received).toBe('farewell');
  });

  it('tells when the other end closes', async () => {
    const remote = await listen(createServer((socket) => socket.end()));
    const seen = recorder();
    await connectTcp(remote, seen.handlers, {});
    expect(await seen.closed()).toBeUndefined();
  });

  it('drops what a peer that does not read leaves behind', async () => {
    const remote = await listen(createServer((socket) => socket.pause()));
    const stream = await connectTcp(remote, recorder().handlers, {});
    const chunk = new Uint8Array(64 * 1024);
    let taken = 0;
    while (stream.write(chunk, 0, chunk.length)) taken += chunk.length;
    expect(taken).toBeGreaterThanOrEqual(MAX_UNSENT_STREAM_BYTES);
    expect(taken).toBeLessThan(64 * MAX_UNSENT_STREAM_BYTES); // the system's own buffers come first
    stream.close();
  });

  it('rejects where nobody listens, and when it is given up', async () => {
    const server = createServer();
    const remote = await listen(server);
    server.close();
    await once(server, 'close');
    await expect(connectTcp(remote, recorder().handlers, {})).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    const abort = new AbortController();
    const pending = connectTcp(remote, recorder().handlers, { signal: abort.signal });
    abort.abort();
    await expect(pending).rejects.toThrow(/given up/);
    await expect(connectTcp(remote, recorder().handlers, { signal: abort.signal })).rejects.toThrow(/given up/);
  });
});

describe('connectTls', () => {
  it.each(['127.0.0.1', '::1'])(
    'carries bytes over TLS on %s when the certificate is trusted and for that address',
    async (ip) => {
      const certificate = serverCertificate(ip);
      const remote = await listen(
        createTlsServer(certificate, (socket) => socket.pipe(socket)),
        ip,
      );
      const seen = recorder();
      const stream = await connectTls(remote, seen.handlers, { serverName: ip, ca: [certificate.cert], localIp: ip });
      say(stream, 'in private');
      await seen.got('in private');
      stream.close();
    },
  );

  it('rejects a certificate that nobody vouches for, and one for somebody else', async () => {
    const certificate = serverCertificate('127.0.0.1');
    const server = createTlsServer(certificate);
    server.on('tlsClientError', () => undefined);
    const remote = await listen(server);
    await expect(connectTls(remote, recorder().handlers, { serverName: '127.0.0.1' })).rejects.toMatchObject({
      code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO_VERIFY/),
    });
    for (const serverName of ['turn.example.org', '127.0.0.2']) {
      const refused = connectTls(remote, recorder().handlers, { serverName, ca: [certificate.cert] });
      await expect(refused).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    }
  });

  it('rejects a server that does not speak TLS', async () => {
    const remote = await listen(createServer((socket) => socket.end('SSH-2.0-x\r\n')));
    await expect(connectTls(remote, recorder().handlers, { serverName: '127.0.0.1' })).rejects.toThrow();
  });
});

function fail(): void {
  throw new Error('called after close');
}
