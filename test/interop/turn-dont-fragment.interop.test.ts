import { execFile } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { platform } from '../../src/io/index.ts';
import { TurnServer } from '../../src/server/index.ts';
import { freePort, PeerProcess } from './dtls-peers.ts';
import { requireProgram } from './peers.ts';

/*
 * What Node cannot ask for, Linux does by itself: the DF bit on every IPv4 datagram that fits. The server says so to
 * clients, and here the wire is looked at.
 */

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const run = (program: string, args: readonly string[]): Promise<string> =>
  new Promise((resolve) =>
    execFile(program, args, { timeout: 30_000 }, (_, stdout, stderr) => resolve(stdout + stderr)),
  );

describe('DONT-FRAGMENT (RFC 8656 §14)', () => {
  it('is allowed to turnutils_uclient, and tshark sees DF on what leaves for the peer', async () => {
    const server = new TurnServer({
      realm: 'example.org',
      users: { ada: 'lovelace' },
      relayAddresses: ['127.0.0.1'],
      peers: { allowLoopback: true },
      platform,
    });
    closers.push(() => server.close());
    const { port } = await server.listen({ port: 0 });
    const peerPort = await freePort();
    const peer = new PeerProcess('turnutils_peer', ['-L', '127.0.0.1', '-p', String(peerPort)]);
    const tshark = new PeerProcess('tshark', [
      ...['-i', 'lo', '-l', '-f', `udp dst port ${peerPort}`, '-a', 'duration:60'],
      ...['-T', 'fields', '-e', 'ip.flags.df', '-e', 'data.len', '-E', 'separator=,'],
    ]);
    try {
      await tshark.printed(/Capture started/);
      const args = ['-u', 'ada', '-w', 'lovelace', '-p', String(port), '-e', '127.0.0.1', '-r', String(peerPort)];
      const flags = ['-g', '-s', '-n', '3', '-l', '1400'];
      const output = await run(requireProgram('turnutils_uclient'), [...args, ...flags, '127.0.0.1']);
      expect(output).toMatch(/Total lost packets 0/);
      await tshark.printed(/,1400\n/);
      const seen = [...tshark.output.matchAll(/^(\w+),1400$/gm)].map(([, df]) => /^(1|True)$/.test(df ?? ''));
      expect(new Set(seen)).toEqual(new Set([true]));
      expect(server.stats.errorsTotal[420]).toBeUndefined();
    } finally {
      await tshark.stop();
      await peer.stop();
    }
  });
});
