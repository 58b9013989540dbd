import { afterAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { TurnServer } from '../../src/server/index.ts';
import { freePort, PeerProcess } from './dtls-peers.ts';

/**
 * One of the three keys that are built into `turnutils_uclient -J`. It makes each token with another of them by chance, also
 * within one session, which RFC 8656 §5 forbids ("must use the same username"): with a server that knows only one, it is
 * challenged until it hits that one.
 */
const KEY = { kid: 'north', key: utf8('01234567890123456789012345678901') };

describe('third-party authorization (RFC 7635) with turnutils_uclient', () => {
  const closers: (() => void)[] = [];
  afterAll(() => {
    for (const close of closers) close();
  });

  it.each([[['-J']], [['-J', '-t']]])('%s: tokens are taken, 0 lost packets', async (flags) => {
    const server = new TurnServer({
      realm: 'crinna.org',
      users: { ada: 'lovelace' },
      relayAddresses: ['127.0.0.1'],
      peers: { allowLoopback: true },
      oauth: { serverName: 'blackdow.carleon.gov', keys: [KEY] },
    });
    closers.push(() => server.close());
    const { port } = await server.listen({ port: 0, host: '127.0.0.1', transport: 'tcp' }); // first: UDP has no TIME-WAIT
    await server.listen({ port, host: '127.0.0.1' });
    const peerPort = await freePort();
    const peer = new PeerProcess('turnutils_peer', ['-L', '127.0.0.1', '-p', String(peerPort)]);
    const common = ['-p', String(port), '-r', String(peerPort), '-e', '127.0.0.1', '-n', '10'];
    const client = new PeerProcess('turnutils_uclient', [...flags, ...common, '127.0.0.1']);
    await client.printed(/Total lost packets 0 /);
    await client.stop();
    await peer.stop();
    expect(server.stats.allocationsTotal).toBeGreaterThan(0);
  });
});
