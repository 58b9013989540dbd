import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/index.ts';
import { TurnServer, type TurnServerOptions } from '../../src/server/index.ts';
import { PeerProcess } from './dtls-peers.ts';
import { requireProgram } from './peers.ts';

/*
 * coturn's own clients against our TURN server, over every transport. `turnutils_uclient` makes allocations, permissions
 * and channels, sends through them to `turnutils_peer`, which echoes, and counts what came back.
 */

const uclient = requireProgram('turnutils_uclient');
const USER = ['-u', 'ada', '-w', 'lovelace'];
const MESSAGES = 10;

let peer: ChildProcess;
let peerPort: number;
const closers: (() => void)[] = [];

beforeAll(async () => {
  peerPort = await freePort();
  peer = spawn(requireProgram('turnutils_peer'), ['-L', '127.0.0.1', '-L', '::1', '-p', String(peerPort)]);
});
afterAll(() => {
  peer.kill('SIGKILL');
  for (const close of closers) close();
});

async function freePort(): Promise<number> {
  const handlers = { onDatagram: () => undefined, onError: () => undefined };
  const socket = await platform.bindUdp({ ip: '127.0.0.1', port: 0 }, handlers);
  socket.close();
  return socket.local.port;
}

/** A server on UDP and TCP of 127.0.0.1 and ::1, with TLS and DTLS on the same port. */
async function serve(options: Partial<TurnServerOptions> = {}): Promise<{ server: TurnServer; port: number }> {
  const pem = certificateToPem(generateCertificate(platform.env));
  const server = new TurnServer({
    realm: 'example.org',
    users: { ada: 'lovelace' },
    mobility: true,
    relayAddresses: ['127.0.0.1', '::1'],
    peers: { allowLoopback: true },
    certificate: { cert: pem, key: pem },
    ...options,
  });
  closers.push(() => server.close());
  const { port } = await server.listen({ port: 0, transport: 'tcp' }); // first: ended connections keep ports from TCP alone
  await server.listen({ port });
  await server.listen({ host: '::1', port });
  await server.listen({ host: '::1', port, transport: 'tcp' });
  return { server, port };
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    // Its exit code means nothing: the words on its output do.
    execFile(program, args, { timeout: 50_000 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
}

/** Sent and received messages, by the client's own count; fails with its whole output when it did not get that far. */
function counts(output: string): { sent: number; received: number; lost: number } {
  const totals = /tot_send_msgs=(\d+), tot_recv_msgs=(\d+)\s*\n(?![\s\S]*tot_send_msgs)/.exec(output);
  const lost = /Total lost packets (\d+)/.exec(output);
  if (totals === null || lost === null) throw new Error(`uclient did not finish:\n${output}`);
  return { sent: Number(totals[1]), received: Number(totals[2]), lost: Number(lost[1]) };
}

async function relay(port: number, flags: readonly string[], host = '127.0.0.1', user = USER) {
  const args = [...user, '-p', String(port), '-r', String(peerPort), '-n', String(MESSAGES), ...flags, host];
  return counts(await run(uclient, args));
}

const TO_PEER4 = ['-e', '127.0.0.1'];
const TO_PEER6 = ['-x', '-e', '::1'];

// Each run is mostly the client's own waiting.
describe.concurrent('turnutils_uclient', () => {
  it.each<[string, string[], string?]>([
    ['UDP, channels', TO_PEER4],
    ['UDP, indications', ['-s', ...TO_PEER4]],
    ['UDP, padded channels as pjnath sends them', ['-D', ...TO_PEER4]],
    ['TCP, channels', ['-t', ...TO_PEER4]],
    ['TCP, indications', ['-t', '-s', ...TO_PEER4]],
    ['TLS, channels', ['-S', '-t', ...TO_PEER4]],
    ['TLS, indications', ['-S', '-t', '-s', ...TO_PEER4]],
    ['DTLS, channels', ['-S', ...TO_PEER4]],
    ['DTLS, indications', ['-S', '-s', ...TO_PEER4]],
    ['UDP over IPv6', TO_PEER6, '::1'],
    ['TCP over IPv6', ['-t', ...TO_PEER6], '::1'],
    ['TLS over IPv6', ['-S', '-t', ...TO_PEER6], '::1'],
    ['DTLS over IPv6', ['-S', ...TO_PEER6], '::1'],
    ['IPv4 client, IPv6 relay', TO_PEER6],
    ['extra requests', ['-G', ...TO_PEER4]],
    ['messages of 1200 bytes', ['-l', '1200', ...TO_PEER4]],
    ['mobility (RFC 8016) over UDP', ['-M', ...TO_PEER4]],
    ['mobility (RFC 8016) over TCP', ['-M', '-t', ...TO_PEER4]],
    ['client to client', ['-y']],
    ['client to client, TCP, indications', ['-y', '-t', '-s']],
  ])('%s: 0 lost packets', async (_, flags, host) => {
    const { server, port } = await serve();
    const { sent, received, lost } = await relay(port, flags, host);
    expect(sent).toBeGreaterThanOrEqual(MESSAGES);
    expect({ received, lost }).toEqual({ received: sent, lost: 0 });
    expect(server.stats.traffic.toPeerPackets).toBeGreaterThanOrEqual(sent);
  });

  it('100 clients at once: 0 lost packets', async () => {
    const { server, port } = await serve();
    const { sent, received, lost } = await relay(port, ['-m', '100', ...TO_PEER4]);
    expect({ received, lost }).toEqual({ received: sent, lost: 0 });
    expect(sent).toBeGreaterThanOrEqual(100 * MESSAGES);
    expect(server.stats.allocationsTotal).toBeGreaterThanOrEqual(100);
  });

  it.each([
    ['TCP', []],
    ['TLS', ['-S']],
  ])('TCP relays (RFC 6062) over %s: 0 lost packets', async (_, flags) => {
    const { port } = await serve();
    const { sent, received, lost } = await relay(port, ['-T', ...flags]);
    expect({ received, lost }).toEqual({ received: sent, lost: 0 });
    expect(sent).toBeGreaterThanOrEqual(MESSAGES);
  });

  // With coturn's own server too, this client never ends by itself.
  it('TCP relays that are dialled: the connection is announced, joined, and carries data', async () => {
    const { server, port } = await serve();
    const args = ['-v', ...USER, '-p', String(port), '-P', '-n', '2', '127.0.0.1'];
    const client = new PeerProcess('turnutils_uclient', args);
    try {
      await client.printed(/tot_send_msgs=[1-9]\d*, tot_recv_msgs=[1-9]/);
      await vi.waitFor(() => expect(server.stats.traffic.toClientBytes).toBeGreaterThan(0), 20_000);
      const { requestsTotal, errorsTotal, peerConnections } = server.stats;
      // The dialling end is no TURN client: its connection is announced, and joined by a ConnectionBind.
      expect(requestsTotal).toMatchObject({ ConnectionBind: 1 });
      expect(Object.keys(errorsTotal)).toEqual(['401']);
      expect(peerConnections).toBe(1);
    } finally {
      await client.stop();
    }
  });

  it('a dual allocation (-Z), with the attribute as coturn numbers it', async () => {
    const relayed: unknown[] = [];
    const log: TurnServerOptions['log'] = ({ event, ...fields }) => {
      if (event === 'allocated') relayed.push(fields['relayed']);
    };
    const { server, port } = await serve({ log });
    const { sent, received, lost } = await relay(port, ['-Z', ...TO_PEER4]);
    expect({ received, lost }).toEqual({ received: sent, lost: 0 });
    expect(server.stats.errorsTotal[443]).toBeUndefined();
    expect(relayed.at(-1)).toMatch(/^127\.0\.0\.1:\d+,\[::1\]:\d+$/);
  });

  it('the realm by its ORIGIN, the one of several that has a realm', async () => {
    const realms: string[] = [];
    const log: TurnServerOptions['log'] = ({ event, ...fields }) => {
      if (event === 'allocated') realms.push(`${fields['realm']} for ${fields['origin']}`);
    };
    const realmsByOrigin = { 'https://shop.example': 'shop.example' };
    const { port } = await serve({ realmsByOrigin, checkOriginConsistency: true, log });
    const { received, lost } = await relay(port, ['-o', 'https://shop.example', ...TO_PEER4]);
    expect({ received: received > 0, lost }).toEqual({ received: true, lost: 0 });
    expect(new Set(realms)).toEqual(new Set(['shop.example for https://shop.example:443']));
  });

  it('REST credentials', async () => {
    const { port } = await serve({ users: {}, authSecrets: ['s3cret'] });
    const { received, lost } = await relay(port, TO_PEER4, '127.0.0.1', ['-u', 'grace', '-W', 's3cret']);
    expect({ received: received > 0, lost }).toEqual({ received: true, lost: 0 });
  });

  it('a wrong password gets nothing', async () => {
    const { server, port } = await serve();
    const args = ['-u', 'ada', '-w', 'wrong', '-p', String(port), ...TO_PEER4, '127.0.0.1'];
    expect(await run(uclient, args)).toMatch(/401|Unauth|Cannot complete Allocation/);
    expect(server.stats.allocationsTotal).toBe(0);
  });

  it('cannot reach this machine unless that is allowed', async () => {
    const { server, port } = await serve({ peers: {} });
    const args = [...USER, '-p', String(port), '-r', String(peerPort), ...TO_PEER4, '127.0.0.1'];
    expect(await run(uclient, args)).toMatch(/403/);
    expect(server.stats.traffic.toPeerPackets).toBe(0);
  });

  it('negative protocol tests leave the server standing', { timeout: 180_000 }, async () => {
    const { port } = await serve();
    const common = [...USER, '-p', String(port), '-r', String(peerPort), '-n', '5', ...TO_PEER4];
    await run(uclient, [...common, '-N', '127.0.0.1']);
    await run(uclient, [...common, '-R', '127.0.0.1']);
    await run(uclient, [...common, '-B', '-m', '5', '127.0.0.1']);
    expect((await relay(port, TO_PEER4)).lost).toBe(0);
  });
});

describe('STUN on the same port', () => {
  it('turnutils_stunclient learns its address', async () => {
    const { port } = await serve();
    const output = await run(requireProgram('turnutils_stunclient'), ['-p', String(port), '127.0.0.1']);
    expect(output).toMatch(/reflexive addr: 127\.0\.0\.1:\d+/);
  });

  it('turnutils_natdiscovery finds that there is no NAT (RFC 5780)', async () => {
    const [first, second] = [await freePort(), await freePort()];
    const primary = { ip: '127.0.0.1', port: first };
    const alternate = { ip: '127.0.0.2', port: second };
    const server = new TurnServer({
      realm: 'example.org',
      users: { ada: 'lovelace' },
      relayAddresses: ['127.0.0.1'],
      behaviourDiscovery: { primary, alternate },
    });
    closers.push(() => server.close());
    for (const host of [primary.ip, alternate.ip]) {
      for (const port of [first, second]) await server.listen({ host, port });
    }
    const args = ['-p', String(first), '-L', '127.0.0.1', '-m', '-f', '127.0.0.1'];
    const output = await run(requireProgram('turnutils_natdiscovery'), args);
    expect(output).toMatch(/NO NAT|No NAT|Endpoint Independent Mapping/i);
    expect(output).toMatch(/Endpoint Independent Filtering/i);
  });
});
