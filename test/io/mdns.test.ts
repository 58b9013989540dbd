import dgram, { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import makeMdns from 'multicast-dns';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  MAX_MDNS_ANSWERS_PER_SECOND,
  MAX_MDNS_MESSAGE_QUESTIONS,
  MAX_MDNS_NAMES,
  MAX_MDNS_QUESTIONS,
  MDNS_RECORD_INTERVAL_MS,
  MulticastDns,
} from '../../src/io/index.ts';

const LOOPBACK = { name: 'lo', ip: '127.0.0.1', internal: true } as const;
/** Of an interface that is not the loopback's, where there is one. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? LOOPBACK.ip;
}

const NAME = '8c0c2f55-1d4a-4d17-9d5c-2b8f1c3e9a77.local';

/** A port that nobody else has: the tests' questions reach only this process. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

describe('multicast DNS on loopback', () => {
  const cleanUp: (() => void)[] = [];
  afterEach(() => {
    for (const end of cleanUp.splice(0)) end();
  });

  it('a name that is published resolves, whatever its case, and both sides leave nothing open', async () => {
    const port = await freePort();
    const [asker, owner] = [new MulticastDns({ port }), new MulticastDns({ port })];
    const withdraw = owner.publish(NAME, LOOPBACK);
    expect(await asker.resolve(NAME.toUpperCase(), [LOOPBACK])).toEqual(['127.0.0.1']);
    expect([asker.openLinks, owner.openLinks]).toEqual([0, 1]);
    withdraw();
    withdraw();
    expect(owner.openLinks).toBe(0);
  });

  it('one that nobody knows, or has withdrawn, resolves to nothing after the time that it is given', async () => {
    const port = await freePort();
    const [asker, owner] = [new MulticastDns({ port, timeoutMs: 50 }), new MulticastDns({ port })];
    owner.publish(NAME, LOOPBACK)();
    cleanUp.push(owner.publish('other.local', LOOPBACK));
    expect(await asker.resolve(NAME, [LOOPBACK])).toEqual([]);
    expect(asker.openLinks).toBe(0);
  });

  it('an aborted question ends at once', async () => {
    const asker = new MulticastDns({ port: await freePort() });
    const abort = new AbortController();
    const answer = asker.resolve(NAME, [LOOPBACK], abort.signal);
    abort.abort();
    expect(await answer).toEqual([]);
    expect(await asker.resolve(NAME, [LOOPBACK], abort.signal)).toEqual([]);
    expect(asker.openLinks).toBe(0);
  });

  it('answers with what it has, and says what it has not (RFC 6762 §6.1)', async () => {
    const port = await freePort();
    const owner = new MulticastDns({ port });
    cleanUp.push(owner.publish(NAME, LOOPBACK));
    const other = listener(port);
    const answers = new Promise<unknown[]>((resolve) =>
      other.once('response', (packet) => resolve(packet.answers ?? [])),
    );
    other.query(NAME, 'AAAA');
    expect(await answers).toMatchObject([{ type: 'NSEC', name: NAME, data: { nextDomain: NAME, rrtypes: ['A'] } }]);
  });

  it('answers a plain resolver on the port that it asks from, with its question (RFC 6762 §6.7)', async () => {
    const port = await freePort();
    const owner = new MulticastDns({ port });
    cleanUp.push(owner.publish(NAME, LOOPBACK));
    // Through the group first, so that the owner's socket is known to be bound.
    expect(await new MulticastDns({ port }).resolve(NAME, [LOOPBACK])).toEqual(['127.0.0.1']);
    const plain = listener(await freePort());
    const response = new Promise<makeMdns.ResponsePacket>((resolve) => plain.once('response', resolve));
    plain.query({ id: 77, questions: [{ name: NAME, type: 'A' }] }, { port, address: '224.0.0.251' });
    expect(await response).toMatchObject({
      id: 77,
      questions: [{ name: NAME, type: 'A' }],
      answers: [{ name: NAME, type: 'A', data: '127.0.0.1' }],
    });
  });

  it.each([
    ['UDP port 0, which only a forger sends from', { address: '127.0.0.1', port: 0 }, 0],
    ['outside of the link', { address: '192.0.2.66', port: 4000 }, 0],
    ['a port on the link', { address: '127.0.0.2', port: 4000 }, 1],
  ])('a question from %s (RFC 6762 §5.5)', async (_name, from, answers) => {
    const port = await freePort();
    const made = vi.spyOn(dgram, 'createSocket');
    const owner = new MulticastDns({ port });
    cleanUp.push(owner.publish(NAME, LOOPBACK));
    const [opened] = made.mock.results;
    made.mockRestore();
    // Through the group first, so that the socket is known to be bound.
    expect(await new MulticastDns({ port }).resolve(NAME, [LOOPBACK])).toEqual(['127.0.0.1']);
    // As such datagrams arrive: a socket that could send them takes a privilege that tests do not have.
    const labels = NAME.split('.').map((label) => String.fromCharCode(label.length) + label);
    const question = Buffer.from(`${'\0'.repeat(5)}\x01${'\0'.repeat(6)}${labels.join('')}\0\0\x01\0\x01`, 'latin1');
    const sent = vi.spyOn(opened?.value, 'send').mockReturnValue(undefined);
    opened?.value.emit('message', question, { ...from, family: 'IPv4', size: question.length });
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent).toHaveBeenCalledTimes(answers);
    sent.mockRestore();
  });

  it('an answer from another port than multicast DNS has is ignored (RFC 6762 §6)', async () => {
    const port = await freePort();
    const asker = new MulticastDns({ port, timeoutMs: 100 });
    const answer = asker.resolve(NAME, [LOOPBACK]);
    const forger = listener(await freePort());
    const watcher = listener(port);
    watcher.once('query', () =>
      forger.respond(
        { answers: [{ name: NAME, type: 'A', ttl: 120, data: '192.0.2.66' }] },
        { port, address: '224.0.0.251' },
      ),
    );
    const seen = new Promise((resolve) => watcher.once('response', resolve));
    await seen;
    expect(await answer).toEqual([]);
  });

  it.each([
    ['outside of the link', '203.0.113.66', []],
    ['the link', '127.0.0.2', ['192.0.2.1']],
    ['this machine, by an address on another link', ownAddress(), ['192.0.2.1']],
  ])('an answer from %s (RFC 6762 §11)', async (_name, address, addresses) => {
    const port = await freePort();
    const made = vi.spyOn(dgram, 'createSocket');
    const asker = new MulticastDns({ port, timeoutMs: 100 });
    const answer = asker.resolve(NAME, [LOOPBACK]);
    const [opened] = made.mock.results;
    made.mockRestore();
    // As it arrives: a socket that could send it from elsewhere takes a privilege that tests do not have.
    const labels = NAME.split('.').map((label) => String.fromCharCode(label.length) + label);
    const record = `${labels.join('')}\0\0\x01\0\x01\0\0\0\x78\0\x04\xc0\0\x02\x01`;
    const response = Buffer.from(`\0\0\x84\0\0\0\0\x01\0\0\0\0${record}`, 'latin1');
    opened?.value.emit('message', response, { address, port, family: 'IPv4', size: response.length });
    expect(await answer).toEqual(addresses);
  });

  it('multicasts a record once a second, whoever asks how often: what is asked meanwhile is answered then (RFC 6762 §6)', async () => {
    const port = await freePort();
    const owner = new MulticastDns({ port });
    cleanUp.push(owner.publish(NAME, LOOPBACK));
    const asker = listener(port);
    const times: number[] = [];
    const three = new Promise<void>((resolve) => {
      asker.on('response', ({ answers }) => {
        if (answers?.[0]?.name !== NAME) return;
        times.push(performance.now());
        if (times.length === 3) resolve();
        else for (let i = 0; i < 5; i++) asker.query(NAME, 'A');
      });
    });
    asker.query(NAME, 'A');
    await three;
    for (const [i, at] of times.slice(1).entries()) {
      expect(at - times[i]!).toBeGreaterThan(0.95 * MDNS_RECORD_INTERVAL_MS); // both ends have timers of their own
    }
    // Another record of the same name has a second of its own, and so has who asks from a port of his own.
    const other = new Promise<unknown>((resolve) =>
      asker.once('response', ({ answers }) => resolve(answers?.[0]?.type)),
    );
    asker.query(NAME, 'AAAA');
    expect(await other).toBe('NSEC');
    const plain = listener(await freePort());
    const responses = new Promise<number>((resolve) => {
      let count = 0;
      plain.on('response', () => ++count === 3 && resolve(count));
    });
    for (let i = 0; i < 3; i++)
      plain.query({ questions: [{ name: NAME, type: 'A' }] }, { port, address: '224.0.0.251' });
    expect(await responses).toBe(3);
  });

  it('a message with more questions than anybody asks at once costs no more than a few answers', async () => {
    const port = await freePort();
    const owner = new MulticastDns({ port });
    for (let i = 0; i < 30; i++) cleanUp.push(owner.publish(`n${i}.local`, LOOPBACK));
    const asker = listener(port);
    const response = new Promise<unknown[]>((resolve) =>
      asker.once('response', ({ answers }) => resolve(answers ?? [])),
    );
    asker.query(Array.from({ length: 30 }, (_, i) => ({ name: `n${i}.local`, type: 'A' as const })));
    expect(await response).toHaveLength(MAX_MDNS_MESSAGE_QUESTIONS);
  });

  it('keeps to its bounds: questions, names, answers a second', async () => {
    const port = await freePort();
    const busy = new MulticastDns({ port });
    const aborts = Array.from({ length: MAX_MDNS_QUESTIONS }, () => new AbortController());
    const questions = aborts.map(({ signal }) => busy.resolve(NAME, [LOOPBACK], signal));
    expect(await busy.resolve(NAME, [LOOPBACK])).toEqual([]);
    for (const abort of aborts) abort.abort();
    await Promise.all(questions);

    const owner = new MulticastDns({ port });
    for (let i = 0; i < MAX_MDNS_NAMES; i++) cleanUp.push(owner.publish(`n${i}.local`, LOOPBACK));
    expect(() => owner.publish(NAME, LOOPBACK)).toThrow('4096');

    const flood = listener(port);
    let answers = 0;
    const last = new Promise<void>((resolve) => {
      flood.on('response', (packet) => {
        if (packet.answers?.[0]?.name !== 'last.local') answers++;
        else resolve();
      });
    });
    const asked = 4 * MAX_MDNS_ANSWERS_PER_SECOND;
    for (let i = 0; i < asked; i++) {
      flood.query(`n${i}.local`, 'A');
      await new Promise((resolve) => setImmediate(resolve)); // nothing may be lost in a full socket buffer
    }
    flood.respond([{ name: 'last.local', type: 'A', ttl: 120, data: '127.0.0.1' }]);
    await last;
    expect(answers).toBeGreaterThanOrEqual(1);
    expect(answers).toBeLessThan(asked);
  });

  /** Somebody else on the link. */
  function listener(port: number): makeMdns.MulticastDNS {
    const mdns = makeMdns({ port, interface: '127.0.0.1', bind: '0.0.0.0' });
    cleanUp.push(() => mdns.destroy());
    return mdns;
  }
});
