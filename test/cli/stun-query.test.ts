import { afterEach, describe, expect, it } from 'vitest';
import { describeStunAnswer, parseStunTarget, queryStunServer, resolveStunServers } from '../../src/cli/stun-query.ts';
import type { Platform } from '../../src/core/index.ts';
import { platform } from '../../src/io/index.ts';
import { StunServer } from '../../src/server/index.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const options = { platform, family: undefined, behaviour: true } as const;

describe('parseStunTarget', () => {
  it.each([
    ['example.org', 'example.org', undefined],
    ['Example.org:3479', 'example.org', 3479],
    ['192.0.2.1', '192.0.2.1', undefined],
    ['192.0.2.1:1', '192.0.2.1', 1],
    ['2001:db8::1', '2001:db8::1', undefined],
    ['[2001:db8::1]:5', '2001:db8::1', 5],
    ['stun:example.org', 'example.org', undefined],
    ['stun:[::1]:7', '::1', 7],
    ['stun:3479', 'stun', 3479], // a host of that name: a URI would have no host
  ])('%s', (text, host, port) => {
    expect(parseStunTarget(text)).toMatchObject({ host, port });
  });

  it.each([
    ['turn:example.org', 'only stun: over UDP'],
    ['stuns:example.org', 'only stun: over UDP'],
    ['http://example.org', 'http://example.org is no host, host:port or stun: URI: not a port: //example.org'],
    ['example.org:http', 'not a port'],
    ['', 'host is missing'],
  ])('%j is refused with a reason', (text, reason) => {
    expect(() => parseStunTarget(text)).toThrow(expect.objectContaining({ name: 'CliError' }));
    expect(() => parseStunTarget(text)).toThrow(reason);
  });
});

describe('resolveStunServers', () => {
  const names = (ips: readonly string[]): Platform => ({ ...platform, resolve: async () => ips });
  const uri = parseStunTarget('host.example:99'); // with a port: no SRV lookup

  it('takes one address of each family, IPv4 first', async () => {
    const dual = names(['2001:db8::1', '192.0.2.1', '192.0.2.2', '2001:db8::2']);
    expect(await resolveStunServers(uri, { ...options, platform: dual })).toEqual([
      { ip: '192.0.2.1', port: 99 },
      { ip: '2001:db8::1', port: 99 },
    ]);
    expect(await resolveStunServers(uri, { ...options, platform: dual, family: 6 })).toEqual([
      { ip: '2001:db8::1', port: 99 },
    ]);
  });

  it('says what is missing', async () => {
    const four = names(['192.0.2.1']);
    await expect(resolveStunServers(uri, { ...options, platform: four, family: 6 })).rejects.toThrow('no IPv6 address');
    const none: Platform = { ...platform, resolve: () => Promise.reject(new Error('ENOTFOUND')) };
    await expect(resolveStunServers(uri, { ...options, platform: none })).rejects.toThrow(
      'host.example has no address',
    );
  });
});

describe('queryStunServer', () => {
  it.each(['127.0.0.1', '::1'])('tells what a server on %s says, in words', async (host) => {
    const server = new StunServer();
    closers.push(() => server.close());
    const address = await server.listen({ host, port: 0 });
    const answer = await queryStunServer(address, options);
    expect(answer.mapped).toEqual(answer.local);
    expect(answer.behaviour?.mapping).toBe('none');
    const lines = describeStunAnswer(answer);
    expect(lines[0]).toMatch(/ sees this machine at .*\d$/);
    expect(lines[1]).toMatch(/^ {2}It sent from .*; the answer took [\d.]+ ms\.$/);
    expect(lines[2]).toBe('  There is no address translation: peers reach this machine at its own address.');
    expect(server.counters.requests).toBe(2);
    expect((await queryStunServer(address, { ...options, behaviour: false })).behaviour).toBeUndefined();
    expect(answer.lifetime).toBeUndefined();
    const steps: string[] = [];
    const onLifetimeStep = (words: string) => steps.push(words);
    const asked = await queryStunServer(address, { ...options, behaviour: false, onLifetimeStep });
    expect(asked.lifetime).toEqual({ type: 'failed', reason: 'no-nat' });
    expect(describeStunAnswer(asked).at(-1)).toMatch(/nothing that could expire\.$/);
    expect(steps).toEqual([]);
  });

  it('a server with a second address tells about filtering too', async () => {
    // All of 127.0.0.0/8 is this machine on Linux. Free ports are found by binding them for a moment.
    const ports: number[] = [];
    for (let i = 0; i < 2; i++) {
      const handlers = { onDatagram: () => undefined, onError: () => undefined };
      const probe = await platform.bindUdp({ ip: '127.0.0.1', port: 0 }, handlers);
      ports.push(probe.local.port);
      closers.push(() => probe.close());
    }
    for (const close of closers.splice(0)) close();
    const primary = { ip: '127.0.0.1', port: ports[0]! };
    const alternate = { ip: '127.0.0.2', port: ports[1]! };
    const server = new StunServer({ behaviourDiscovery: { primary, alternate } });
    closers.push(() => server.close());
    await server.listenForDiscovery();
    const answer = await queryStunServer(primary, options);
    expect(answer.behaviour).toMatchObject({ mapping: 'none', filtering: 'endpoint-independent' });
    expect(describeStunAnswer(answer).at(-1)).toBe('  Anybody may send to the public address once it is open.');
  });

  it('discovery needs its addresses', async () => {
    await expect(new StunServer().listenForDiscovery()).rejects.toThrow('behaviourDiscovery was not given');
  });

  it('silence is an error that says so', async () => {
    const silent = await platform.bindUdp(
      { ip: '127.0.0.1', port: 0 },
      { onDatagram: () => undefined, onError: () => undefined },
    );
    closers.push(() => silent.close());
    const schedule = { rtoMs: 20, maxSends: 2, finalWaitFactor: 2 }; // nobody will answer: no need for seconds
    await expect(queryStunServer(silent.local, { ...options, schedule })).rejects.toThrow('does not answer over UDP');
  });
});
