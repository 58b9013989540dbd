import { afterEach, expect, it } from 'vitest';
import type { FiveTuple } from '../../src/core/index.ts';
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

  // The client needs to know its own socket before it is made: take a port, then give it to the client's shell.
  const probe = await platform.bindUdp(
    { ip: host, port: 0 },
    { onDatagram: () => undefined, onError: () => undefined },
  );
  const local = probe.local;
  probe.close();
  const path: FiveTuple = { protocol: 'udp', local, remote };
  const mapped = await new Promise<StunClientEvent>((resolve) => {
    const client = new StunClient({ env: platform.env, path }, platform.now());
    const shell = new UdpShell({ core: client, onEvent: resolve });
    closers.push(() => shell.close());
    void shell.bind(local).then(() => shell.driver.drain());
  });
  expect(mapped).toMatchObject({ type: 'mapped', address: local });
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
