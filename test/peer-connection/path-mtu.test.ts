import { describe, expect, it } from 'vitest';
import type { FiveTuple, InterfaceAddress } from '../../src/core/index.ts';
import type { PeerTransportOptions } from '../../src/peer-connection/index.ts';
import { firstHopMtu } from '../../src/peer-connection/path-mtu.ts';
import { SimPair } from './support.ts';

/** The largest IP packet that fits into a link of the simulator, whose MTU counts UDP payload: IPv6 and UDP headers more. */
const HEADER_BYTES = 48;

/** Sends 2 MB from a to b over a link of `mtuBytes`; returns the largest datagram after which data still arrived. */
function largestDatagram(
  mtuBytes: number,
  interfaceMtu: number | undefined,
  both: Partial<PeerTransportOptions> = {},
): number {
  const pair = new SimPair(1, {
    link: { latencyMs: 5, mtuBytes: mtuBytes - HEADER_BYTES },
    a: { pathMtuBytes: () => interfaceMtu, ...both },
    b: both,
  });
  let largest = 0;
  let received = 0;
  pair.tap = (bytes, to) => {
    if (to === pair.b) largest = Math.max(largest, bytes.length);
  };
  pair.b.onEvent = (event) => {
    if (event.type === 'message') received += event.data.length;
  };
  pair.world.run({ until: 0 });
  const handle = pair.a.driver.mutate((now) => pair.a.transport.channels.open({ label: 'bulk' }, now));
  expect(pair.open()).toBe(true);
  for (let i = 0; i < 40; i++) {
    pair.a.driver.mutate((now) => pair.a.transport.channels.send(handle, new Uint8Array(50_000), now));
    pair.world.run({ until: pair.world.now + 200 });
  }
  pair.world.run({ until: pair.world.now + 10_000, done: () => received === 2_000_000 });
  expect(received).toBe(2_000_000);
  return largest;
}

describe('path MTU of a whole transport', () => {
  it('grows to the MTU of the interface where the path carries it', () => {
    const largest = largestDatagram(9000, 9000);
    expect(largest).toBeGreaterThan(9000 - HEADER_BYTES - 60);
    expect(largest).toBeLessThanOrEqual(9000 - HEADER_BYTES);
  });

  it('stays within a narrower path, such as a tunnel', () => {
    const largest = largestDatagram(1280, 9000);
    expect(largest).toBeLessThanOrEqual(1280 - HEADER_BYTES);
  });

  it('one DTLS record is the most, whatever the interface takes', () => {
    const largest = largestDatagram(65_536, 65_536);
    expect(largest).toBeGreaterThan(16_384);
    expect(largest).toBeLessThanOrEqual(16_384 + 37);
  });

  it('does not search where nobody knows the interface, or where the application has chosen', () => {
    expect(largestDatagram(9000, undefined)).toBeLessThan(1300);
    expect(largestDatagram(9000, 9000, { sctp: { maxMtuBytes: 1400 } })).toBeLessThan(1500);
  });

  it('stays at what every peer takes while the peer does not say what it takes: Chromium ends at 2,048 bytes', () => {
    const largest = largestDatagram(9000, 9000, { dtls: { recordSizeLimitBytes: undefined } });
    expect(largest).toBeGreaterThan(1400);
    expect(largest).toBeLessThanOrEqual(1500 - HEADER_BYTES);
  });

  it('a peer whose records cannot hold a packet is refused, and nothing throws', () => {
    const pair = new SimPair(1, { dtlsRole: 'server', b: { dtls: { recordSizeLimitBytes: 600 } } });
    pair.world.run({ until: 5000 });
    const failed = pair.a.events.find((event) => event.type === 'dtls-state' && event.state === 'failed');
    expect(failed).toMatchObject({ failure: { message: 'the peer takes records of 600 bytes only' } });
    expect(pair.a.events.some((event) => event.type === 'sctp-state' && event.state === 'connected')).toBe(false);
  });
});

describe('firstHopMtu', () => {
  const interfaces: readonly InterfaceAddress[] = [
    { name: 'lo', ip: '127.0.0.1', internal: true, mtuBytes: 65_536 },
    { name: 'eth0', ip: '192.0.2.2', internal: false, mtuBytes: 1400 },
    { name: 'tun0', ip: '198.51.100.2', internal: false },
  ];
  const path = (local: string, remote: string): FiveTuple => ({
    protocol: 'udp',
    local: { ip: local, port: 1 },
    remote: { ip: remote, port: 2 },
  });

  it.each([
    ['192.0.2.2', '203.0.113.1', 1400],
    ['192.0.2.2', '192.0.2.2', 65_536], // to ourselves: over loopback
    ['127.0.0.1', '127.0.0.1', 65_536],
    ['198.51.100.2', '203.0.113.1', undefined],
    ['203.0.113.7', '203.0.113.1', undefined], // a relayed address
  ])('from %s to %s: %s', (local, remote, mtu) => {
    expect(firstHopMtu(path(local, remote), interfaces)).toBe(mtu);
  });

  it('TCP has none', () => {
    expect(firstHopMtu({ ...path('192.0.2.2', '203.0.113.1'), protocol: 'tcp' }, interfaces)).toBeUndefined();
  });
});
