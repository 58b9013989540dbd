import { describe, expect, it } from 'vitest';
import type { TransportAddress } from '../../src/core/index.ts';
import { bindUdpSocket } from '../../src/io/index.ts';
import { TurnServer } from '../../src/server/index.ts';
import { icmpOf, MAX_WATCHED_PEERS, PeerWatches } from '../../src/server/turn-icmp.ts';
import { useTurnClients } from './turn-clients.ts';

const { closers, udpClient, echoPeer } = useTurnClients();

describe('ICMP errors (RFC 8656 §11.5)', () => {
  it.each([
    ['127.0.0.1', 3, 3],
    ['::1', 1, 4],
  ] as const)(
    'a peer at %s whose port is closed is told to the client; data of a live one passes',
    async (ip, type, code) => {
      const server = new TurnServer({
        realm: 'example.org',
        users: { ada: 'lovelace' },
        relayAddresses: [ip],
        peers: { allowLoopback: true },
        icmp: true,
      });
      closers.push(() => server.close());
      const { client, driver, events } = await udpClient(await server.listen({ host: ip, port: 0 }));
      const peer = await echoPeer(ip);
      driver.mutate((now) => client.allocate(now));
      await events.next('allocated');
      driver.mutate((now) => client.bindChannel(peer.address, now));
      await events.next('channel');
      driver.mutate((now) => client.send(peer.address, Uint8Array.of(1), now));
      await events.next('data');
      peer.close();
      driver.mutate((now) => client.send(peer.address, Uint8Array.of(2), now));
      expect(await events.next('icmp')).toEqual({ type: 'icmp', peer: peer.address, icmp: { type, code, data: 0 } });
    },
  );

  it.each([
    ['ECONNREFUSED', 4, { type: 3, code: 3, data: 0 }],
    ['EMSGSIZE', 4, { type: 3, code: 4, data: 0 }],
    ['EMSGSIZE', 6, { type: 2, code: 0, data: 0 }],
    ['EACCES', 6, { type: 1, code: 1, data: 0 }],
    ['EACCES', 4, undefined],
    ['ENOBUFS', 4, undefined],
  ] as const)('%s on IPv%i is %o', (code, family, icmp) => {
    expect(icmpOf(Object.assign(new Error(code), { code }), family)).toEqual(icmp);
  });

  it(`watches ${MAX_WATCHED_PEERS} peers of a relay, the latest`, async () => {
    const relay = await echoPeer('127.0.0.1');
    relay.close();
    const told: number[] = [];
    let resolve: () => void = () => undefined;
    const enough = new Promise<void>((done) => {
      resolve = done;
    });
    const icmp = (_local: TransportAddress, { port }: TransportAddress) => {
      if (told.push(port) === MAX_WATCHED_PEERS) resolve();
    };
    const watches = new PeerWatches({ datagram: () => undefined, icmp });
    closers.push(() => watches.closeAll());
    const silent = await echoPeer('127.0.0.1');
    const dead: TransportAddress[] = [];
    for (let i = 0; i <= MAX_WATCHED_PEERS; i++) dead.push({ ...silent.address, port: 1 + i });
    for (const peer of [...dead, dead.at(-1)!]) await watches.watch(relay.address, peer);
    const handlers = { onDatagram: () => undefined, onError: () => undefined };
    const sender = await bindUdpSocket(relay.address, handlers, { shared: true });
    closers.push(() => sender.close());
    for (const peer of dead) sender.send(Uint8Array.of(1), 0, 1, peer);
    await enough;
    expect(new Set(told)).toEqual(new Set(dead.slice(1).map(({ port }) => port)));
  });

  it('leaves no socket behind for a peer that is forgotten, and watched anew, while its socket is being opened', async () => {
    const relay = await echoPeer('127.0.0.1');
    relay.close();
    const watches = new PeerWatches({ datagram: () => undefined, icmp: () => undefined });
    closers.push(() => watches.closeAll());
    const peers = Array.from({ length: MAX_WATCHED_PEERS + 1 }, (_, i) => ({ ip: '127.0.0.1', port: 1 + i }));
    await Promise.all([...peers, peers[0]!].map((peer) => watches.watch(relay.address, peer)));
    watches.close(relay.address);
    const alone = await bindUdpSocket(relay.address, { onDatagram: () => undefined, onError: () => undefined });
    alone.close();
  });
});
