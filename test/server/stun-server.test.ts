import { afterEach, expect, it } from 'vitest';
import type { Instant, TransportAddress } from '../../src/core/index.ts';
import { platform, UdpShell } from '../../src/io/index.ts';
import { StunServer } from '../../src/server/index.ts';
import { StunClient, type StunClientEvent } from '../../src/stun/index.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

it.each(['127.0.0.1', '::1'])('tells a client on %s its own address', async (host) => {
  const server = new StunServer({ software: 'test' });
  closers.push(() => server.close());
  const remote = await server.listen({ host, port: 0 });

  let own: TransportAddress | undefined;
  const mapped = await new Promise<StunClientEvent>((resolve, reject) => {
    const makeClient = (local: TransportAddress, now: Instant) => {
      own = local;
      return new StunClient({ env: platform.env, path: { protocol: 'udp', local, remote } }, now);
    };
    UdpShell.open({ ip: host, port: 0 }, makeClient, { onEvent: resolve }).then((shell) => {
      closers.push(() => shell.close());
    }, reject);
  });
  expect(mapped).toMatchObject({ type: 'mapped', address: own });
  expect(server.counters).toMatchObject({ requests: 1, successes: 1 });
  expect(server.drops.total).toBe(0);
});

it('an address that is taken is a rejection', async () => {
  const first = new StunServer();
  const second = new StunServer();
  closers.push(
    () => first.close(),
    () => second.close(),
  );
  const { port } = await first.listen({ port: 0 });
  await expect(second.listen({ port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
});
