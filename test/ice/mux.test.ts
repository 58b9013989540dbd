import { describe, expect, it } from 'vitest';
import { Driver, type FiveTuple, formatAddress, type TransportAddress } from '../../src/core/index.ts';
import { IceAgent, type IceEvent, IceMux, MAX_MUX_ADDRESSES } from '../../src/ice/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { SeededRandom, SimHost, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';
import { address, isConnected, Peer } from './harness.ts';
import { udp } from './lone-agent.ts';
import { checkBytes } from './messages.ts';

const PORT = address('198.51.100.7', 3478);

/** One of many agents behind the server's one socket. */
class Served {
  readonly agent: IceAgent;
  readonly driver: Driver<IceEvent, FiveTuple>;
  readonly received: string[] = [];

  constructor(world: SimWorld, network: SimNetwork, mux: IceMux<Served>) {
    this.agent = new IceAgent({ env: simEnv(world, nodeCrypto), role: 'controlled' });
    const host = new SimHost<FiveTuple>(world, (slot) => {
      mux.noteSent(slot.path!, this);
      network.send(slot.buffer.subarray(slot.offset, slot.offset + slot.length), slot.path!.local, slot.path!.remote);
    });
    this.driver = new Driver(this.agent, host, (event) => {
      if (event.type === 'data') this.received.push(new TextDecoder().decode(event.bytes));
    });
    host.onWake = () => this.driver.wake();
    mux.add(this.agent.localParameters.ufrag, this);
    this.driver.mutate((now) => {
      this.agent.addHostCandidate(PORT, now);
      this.agent.endOfLocalCandidates(now);
    });
  }

  acceptsData(path: FiveTuple): boolean {
    return this.agent.acceptsData(path);
  }
}

/** The server's socket: one receiver, and one object per path as the shells do it. */
function serve(network: SimNetwork, mux: IceMux<Served>): void {
  const paths = new Map<string, FiveTuple>();
  network.bind(PORT, (bytes, remote) => {
    const key = formatAddress(remote);
    const path = paths.get(key) ?? udp(PORT, remote);
    paths.set(key, path);
    const owner = mux.route(bytes, path);
    owner?.driver.input(bytes, path);
    if (owner !== undefined) mux.settle(path, owner);
  });
}

describe('IceMux', () => {
  it.each(seeds(5))('seed %i: 50 peers on one port, each with its own agent, data to the right one', (seed) => {
    const world = new SimWorld(seed);
    const network = new SimNetwork(world, { latencyMs: 10, jitterMs: 20, loss: 0.05 });
    const mux = new IceMux<Served>();
    serve(network, mux);
    const pairs = Array.from({ length: 50 }, (_, i) => {
      // Ten hosts with five sockets each: addresses are shared, ports are not.
      const client = new Peer(network, [address(`10.0.0.${1 + (i % 10)}`, 5000 + i)], { role: 'controlling' });
      client.gather();
      const served = new Served(world, network, mux);
      served.driver.mutate((now) => served.agent.setRemoteParameters(client.agent.localParameters, now));
      client.driver.mutate((now) => {
        client.agent.setRemoteParameters(served.agent.localParameters, now);
        client.agent.addRemoteCandidate(
          {
            foundation: '1',
            component: 1,
            protocol: 'udp',
            priority: 2_130_706_431,
            address: PORT.ip,
            port: PORT.port,
            type: 'host',
          },
          now,
        );
      });
      return { client, served };
    });
    expect(
      world.run({
        until: 20_000,
        done: () => pairs.every(({ client, served }) => isConnected(client) && served.agent.selectedPath !== undefined),
      }),
    ).toBe(true);
    for (const [i, { client }] of pairs.entries()) for (let n = 0; n < 20; n++) client.sendData(`hello from ${i}`);
    world.run({ until: world.now + 200 });
    for (const [i, { served }] of pairs.entries())
      expect(new Set(served.received)).toEqual(new Set([`hello from ${i}`]));
    expect(mux.size).toBe(50);
    for (const { client, served } of pairs) {
      client.close();
      served.driver.mutate((now) => served.agent.close(now));
      mux.remove(served);
    }
    world.run();
    expect([world.pending, mux.size, mux.paths]).toEqual([0, 0, 0]);
  });

  const setUp = () => {
    const world = new SimWorld(1);
    const network = new SimNetwork(world, { latencyMs: 1 });
    const mux = new IceMux<Served>();
    const served = new Served(world, network, mux);
    served.driver.mutate((now) => served.agent.setRemoteParameters({ ufrag: 'peer', pwd: 'p'.repeat(22) }, now));
    const input = (bytes: Uint8Array, path: FiveTuple) => {
      const owner = mux.route(bytes, path);
      owner?.driver.input(bytes, path);
      if (owner !== undefined) mux.settle(path, owner);
      return owner;
    };
    return { world, network, mux, served, input, random: new SeededRandom(7) };
  };

  it('learns nothing from a request that knows the ufrag but not the password', () => {
    const { mux, served, input, random } = setUp();
    for (let i = 0; i < 1000; i++) {
      const path = udp(PORT, address(`203.0.113.${i & 255}`, 1000 + i));
      const forged = checkBytes(random, { to: { ...served.agent.localParameters, pwd: 'x'.repeat(22) } });
      expect(input(forged, path)).toBe(served);
      expect(mux.route(Uint8Array.of(22, 254, 253), path)).toBeUndefined();
    }
    expect(mux.paths).toBe(0);
    expect(mux.drops.toJSON()).toEqual({ 'unknown-path': 1000 });
    expect(served.agent.drops.get('bad-integrity')).toBe(1000);
  });

  it('a path stays with the owner that the peer has proved itself to, whoever else sends there', () => {
    const { world, network, mux, served, input, random } = setUp();
    const path = udp(PORT, address('203.0.113.1', 1000));
    input(checkBytes(random, { to: served.agent.localParameters }), path);
    expect(mux.route(Uint8Array.of(22), path)).toBe(served);
    const other = new Served(world, network, mux);
    mux.noteSent({ ...path }, other);
    expect(mux.route(Uint8Array.of(22), { ...path })).toBe(served);
    mux.remove(served);
    mux.noteSent(path, other);
    expect(mux.route(Uint8Array.of(22), path)).toBe(other);
  });

  it('remembers a bounded number of paths, those that proved nothing going first', () => {
    const { mux, served, input, random } = setUp();
    const proved = udp(PORT, address('203.0.113.1', 1000));
    input(checkBytes(random, { to: served.agent.localParameters }), proved);
    const target = (i: number): TransportAddress => address('203.0.113.9', 1000 + i);
    for (let i = 0; i < 1000; i++) mux.noteSent(udp(PORT, target(i)), served);
    expect(mux.paths).toBe(MAX_MUX_ADDRESSES);
    expect(mux.route(Uint8Array.of(22), proved)).toBe(served);
    expect(mux.route(Uint8Array.of(22), udp(PORT, target(0)))).toBeUndefined();
    expect(mux.route(Uint8Array.of(22), udp(PORT, target(999)))).toBe(served);
  });

  it('tells a TCP connection from UDP between the same addresses', () => {
    const { world, network, mux, served, input, random } = setUp();
    const other = new Served(world, network, mux);
    other.driver.mutate((now) => other.agent.setRemoteParameters({ ufrag: 'peer', pwd: 'p'.repeat(22) }, now));
    other.driver.mutate((now) => other.agent.addHostCandidate(PORT, now, { tcpType: 'passive' }));
    const overUdp = udp(PORT, address('203.0.113.1', 1000));
    const overTcp: FiveTuple = { ...overUdp, protocol: 'tcp' };
    input(checkBytes(random, { to: served.agent.localParameters }), overUdp);
    input(checkBytes(random, { to: other.agent.localParameters }), overTcp);
    expect(mux.route(Uint8Array.of(22), overUdp)).toBe(served);
    expect(mux.route(Uint8Array.of(22), overTcp)).toBe(other);
  });

  it('refuses a ufrag that is taken, takes a restarted one, and drops what nobody owns', () => {
    const { world, network, mux, served, random } = setUp();
    const other = new Served(world, network, mux);
    expect(() => mux.add(served.agent.localParameters.ufrag, other)).toThrow(/in use/);
    const first = served.agent.localParameters;
    served.driver.mutate((now) => served.agent.restart(now));
    mux.add(served.agent.localParameters.ufrag, served);
    const path = udp(PORT, address('203.0.113.1', 1000));
    expect(mux.route(checkBytes(random, { to: first }), path)).toBe(served);
    mux.removeUfrag(first.ufrag);
    expect(mux.route(checkBytes(random, { to: first }), path)).toBeUndefined();
    expect(mux.route(checkBytes(random, { to: served.agent.localParameters }), path)).toBe(served);
    const mangled = checkBytes(random, { to: first });
    mangled[30] = mangled[30]! ^ 1;
    expect(mux.route(mangled, path)).toBeUndefined();
    expect(mux.drops.toJSON()).toEqual({ 'unknown-peer': 1, 'bad-fingerprint': 1 });
  });
});
