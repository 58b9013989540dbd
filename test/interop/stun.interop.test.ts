import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FiveTuple, SansIo, TransportAddress } from '../../src/core/index.ts';
import { UdpShell } from '../../src/io/index.ts';
import { BehaviourDiscovery, StunClient, StunServer, type StunServerEvent } from '../../src/stun/index.ts';
import { Credentials, ENV, freePort, PeerProcess } from './dtls-peers.ts';

/** Two addresses of loopback, as RFC 5780 §6 wants them: behaviour discovery works without a network. */
const FIRST_IP = '127.0.0.1';
const SECOND_IP = '127.0.0.2';

async function localPort(): Promise<TransportAddress> {
  const socket = createSocket('udp4');
  socket.bind(0, FIRST_IP);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return { ip: FIRST_IP, port };
}

/** The project's server with both its addresses and ports. */
async function discoveryServer(): Promise<{ core: StunServer; port: number; close(): void }> {
  const port = await freePort();
  const other = await freePort();
  const primary = { ip: FIRST_IP, port };
  const alternate = { ip: SECOND_IP, port: other };
  const core = new StunServer({ env: ENV, behaviourDiscovery: { primary, alternate } });
  const shell = new UdpShell<StunServerEvent>({ core, onEvent: () => undefined });
  for (const ip of [FIRST_IP, SECOND_IP]) for (const p of [port, other]) await shell.bind({ ip, port: p });
  return { core, port, close: () => shell.close() };
}

/** Runs a client core on a fresh socket until its first event. */
async function ask<E>(remote: TransportAddress, make: (path: FiveTuple) => SansIo<E, FiveTuple>) {
  const local = await localPort();
  const event = await new Promise<E>((resolve) => {
    const shell = new UdpShell<E>({
      core: make({ protocol: 'udp', local, remote }),
      onEvent: (result) => {
        shell.close();
        resolve(result);
      },
    });
    void shell.bind(local).then(() => shell.driver.drain());
  });
  return { local, event };
}

describe('coturn’s clients and the STUN server', () => {
  let core: StunServer;
  let port: number;
  let close: () => void;

  beforeAll(async () => {
    ({ core, port, close } = await discoveryServer());
  });

  afterAll(() => close());

  it('turnutils_stunclient learns its address', async () => {
    const client = new PeerProcess('turnutils_stunclient', ['-p', String(port), FIRST_IP]);
    await client.printed(/reflexive addr: 127\.0\.0\.1:\d+/i);
    await client.exited();
  });

  it('turnutils_stunclient -f runs its RFC 5780 tests', async () => {
    const client = new PeerProcess('turnutils_stunclient', ['-f', '-p', String(port), FIRST_IP]);
    await client.printed(/(?:Other|response) addr/i);
    await client.exited();
  });

  it('turnutils_natdiscovery finds no NAT and no filter', async () => {
    const client = new PeerProcess('turnutils_natdiscovery', [
      '-m',
      '-f',
      '-p',
      String(port),
      '-L',
      FIRST_IP,
      FIRST_IP,
    ]);
    await client.exited();
    expect(client.output).toMatch(/Endpoint[ -]Independent Filtering/i);
    expect(core.drops.total).toBe(0);
  });
});

describe('a client of RFC 3489 and the STUN server', () => {
  let core: StunServer;
  let port: number;
  let close: () => void;

  beforeAll(async () => {
    ({ core, port, close } = await discoveryServer());
  });

  afterAll(() => close());

  it('Debian’s stun finds an open path: no translation, no filter', async () => {
    const client = new PeerProcess('stun', [`${FIRST_IP}:${port}`, '-v']);
    await client.exited();
    expect(client.output).toMatch(/Primary: Open/i);
    expect(core.counters.successes).toBeGreaterThan(2);
    expect(core.counters.errors).toBe(0);
  });
});

describe('the STUN client and coturn', () => {
  const credentials = new Credentials();
  let coturn: PeerProcess;
  let server: TransportAddress;

  beforeAll(async () => {
    server = { ip: FIRST_IP, port: await freePort() };
    coturn = new PeerProcess('turnserver', [
      ...['-n', '--log-file=stdout', '--simple-log', '-v', '--no-cli', `--pidfile=${credentials.folder}/pid`],
      ...[`--listening-port=${server.port}`, `--alt-listening-port=${await freePort()}`, '--no-tls', '--no-dtls'],
      ...[`--listening-ip=${FIRST_IP}`, `--listening-ip=${SECOND_IP}`, `--relay-ip=${FIRST_IP}`, '--realm=example.org'],
      ...[`--userdb=${credentials.folder}/turndb`, '--lt-cred-mech', '--user=ada:lovelace'],
    ]);
    await coturn.printed(/UDP listener opened on/i);
  });

  afterAll(async () => {
    await coturn.stop();
    credentials.remove();
  });

  it('learns its address, and that the server has another one', async () => {
    const { local, event } = await ask(server, (path) => new StunClient({ env: ENV, path }, performance.now()));
    expect(event).toMatchObject({ type: 'mapped', address: local, otherAddress: { ip: SECOND_IP } });
  });

  it('discovers that there is no NAT and no filter in front of loopback', async () => {
    const { local, event } = await ask(server, (path) => new BehaviourDiscovery({ env: ENV, path }, performance.now()));
    expect(event).toEqual({
      type: 'result',
      mapped: local,
      mapping: 'none',
      filtering: 'endpoint-independent',
    });
  });
});
