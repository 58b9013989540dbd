import { afterEach, describe, expect, it } from 'vitest';
import {
  type FiveTuple,
  type Instant,
  MAX_KEPT_DATAGRAMS,
  NEVER,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  type UdpSocket,
} from '../../src/core/index.ts';
import { platform } from '../../src/io/platform.ts';
import { UdpShell } from '../../src/io/udp.ts';
import { bindUdpSocket, MAX_CACHED_REMOTES, MAX_SENDS_IN_FLIGHT, RemoteCache } from '../../src/io/udp-socket.ts';

interface Received {
  readonly text: string;
  readonly remote: TransportAddress;
}

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A socket on `ip` and what arrives at it; `arrived(n)` waits for the n-th datagram, `failed()` for an error. */
async function open(ip: string) {
  const received: Received[] = [];
  const errors: { code: string; remote: TransportAddress | undefined }[] = [];
  const waiting: (() => void)[] = [];
  const changed = () => {
    for (const wake of waiting.splice(0)) wake();
  };
  const socket: UdpSocket = await platform.bindUdp(
    { ip, port: 0 },
    {
      onDatagram: (bytes, remote) => {
        received.push({ text: new TextDecoder().decode(bytes), remote });
        // A Buffer's slice would be a view: a core that keeps a copy of what it borrowed would keep the datagram itself.
        expect(bytes.slice().buffer).not.toBe(bytes.buffer);
        changed();
      },
      onError: (error, remote) => {
        errors.push({ code: 'code' in error ? String(error.code) : error.message, remote });
        changed();
      },
    },
  );
  closers.push(() => socket.close());
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return {
    socket,
    received,
    errors,
    arrived: (count: number) => until(() => received.length >= count),
    failed: () => until(() => errors.length > 0),
    send: (text: string, to: TransportAddress) => {
      const bytes = new TextEncoder().encode(text);
      socket.send(bytes, 0, bytes.length, to);
    },
  };
}

describe.each(['127.0.0.1', '::1'])('a UDP socket on %s', (ip) => {
  it('sends the range it is given, and names the sender', async () => {
    const a = await open(ip);
    const b = await open(ip);
    expect(a.socket.local.port).toBeGreaterThan(0);
    const bytes = new TextEncoder().encode('--hello--');
    a.socket.send(bytes, 2, 5, b.socket.local);
    await b.arrived(1);
    expect(b.received).toEqual([{ text: 'hello', remote: a.socket.local }]);
  });

  it('the caller may overwrite its buffer as soon as send returns', async () => {
    const a = await open(ip);
    const b = await open(ip);
    const buffer = new Uint8Array(1200);
    for (let i = 0; i < 200; i++) {
      buffer.fill(33 + (i % 90));
      a.socket.send(buffer, 0, buffer.length, b.socket.local);
      buffer.fill(0);
    }
    await b.arrived(200);
    expect(b.received.map(({ text }) => text)).toEqual(
      Array.from({ length: 200 }, (_, i) => String.fromCharCode(33 + (i % 90)).repeat(1200)),
    );
  });

  it('hands out one address object per sender', async () => {
    const a = await open(ip);
    const b = await open(ip);
    const c = await open(ip);
    for (const sender of [a, c, a, c]) sender.send('x', b.socket.local);
    await b.arrived(4);
    const remotes = b.received.map(({ remote }) => remote);
    const ofA = remotes.filter((remote) => remote.port === a.socket.local.port);
    expect(ofA).toHaveLength(2);
    expect(ofA[0]).toBe(ofA[1]);
    expect(new Set(remotes).size).toBe(2);
  });

  it('a datagram over any path MTU is an error with its remote, not an exception', async () => {
    const a = await open(ip);
    const b = await open(ip);
    a.socket.send(new Uint8Array(65_600), 0, 65_600, b.socket.local);
    await a.failed();
    expect(a.errors).toEqual([{ code: 'EMSGSIZE', remote: b.socket.local }]);
  });

  it('sends to port 0 or to the other family are errors, not exceptions', async () => {
    const a = await open(ip);
    a.send('x', { ip, port: 0 });
    await a.failed();
    expect(a.errors[0]?.code).toBe('ERR_SOCKET_BAD_PORT');
    a.errors.length = 0;
    a.send('x', { ip: ip === '::1' ? '127.0.0.1' : '::1', port: 9 });
    await a.failed();
    expect(a.errors[0]?.code).toBe('EINVAL');
  });

  it('drops what exceeds the bound of sends in flight, and recovers', async () => {
    const a = await open(ip);
    const b = await open(ip);
    for (let i = 0; i < MAX_SENDS_IN_FLIGHT + 3; i++) a.send('x', b.socket.local);
    expect(a.errors).toEqual(new Array(3).fill({ code: 'the send queue is full', remote: b.socket.local }));
    await b.arrived(1);
    a.errors.length = 0;
    a.send('again', b.socket.local);
    expect(a.errors).toEqual([]);
  });

  it('an address in use is a rejection', async () => {
    const a = await open(ip);
    const handlers = { onDatagram: () => undefined, onError: () => undefined };
    await expect(platform.bindUdp(a.socket.local, handlers)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });

  it('what was sent before close, in the same task, still leaves', async () => {
    const a = await open(ip);
    const b = await open(ip);
    for (const text of ['SCTP ABORT', 'close_notify']) a.send(text, b.socket.local);
    a.socket.close();
    await b.arrived(2);
    expect(b.received.map(({ text }) => text)).toEqual(['SCTP ABORT', 'close_notify']);
  });

  it('keeps a few datagrams back until flush, overtaken by none; a full hand, a send and a close let them go', async () => {
    const [a, b] = [await open(ip), await open(ip)];
    const soon = (text: string) => {
      const bytes = new TextEncoder().encode(text);
      a.socket.sendSoon?.(bytes, 0, bytes.length, b.socket.local);
      bytes.fill(0); // the bytes are out of the caller's hands here too
    };
    soon('kept');
    a.send('first sent at once', b.socket.local); // takes 'kept' along
    await b.arrived(2);
    for (let i = 0; i < MAX_KEPT_DATAGRAMS; i++) soon(`${i}`);
    await b.arrived(2 + MAX_KEPT_DATAGRAMS);
    soon('flushed');
    a.socket.flush?.();
    await b.arrived(3 + MAX_KEPT_DATAGRAMS);
    soon('closed');
    a.socket.close();
    await b.arrived(4 + MAX_KEPT_DATAGRAMS);
    const numbers = Array.from({ length: MAX_KEPT_DATAGRAMS }, (_, i) => `${i}`);
    expect(b.received.map(({ text }) => text)).toEqual(['kept', 'first sent at once', ...numbers, 'flushed', 'closed']);
  });

  it('is silent after close, which may be called twice', async () => {
    const a = await open(ip);
    const b = await open(ip);
    a.send('x', b.socket.local);
    b.socket.close();
    b.socket.close();
    b.send('y', a.socket.local);
    const c = await open(ip);
    c.send('z', a.socket.local);
    await a.arrived(1);
    expect(a.received.map(({ text }) => text)).toEqual(['z']);
    expect([b.received, b.errors]).toEqual([[], []]);
  });
});

it('an IPv6 socket takes IPv6 only, so both families can have the same port', async () => {
  const six = await open('::');
  const handlers = { onDatagram: () => undefined, onError: () => undefined };
  const four = await platform.bindUdp({ ip: '0.0.0.0', port: six.socket.local.port }, handlers);
  closers.push(() => four.close());
  expect(four.local).toEqual({ ip: '0.0.0.0', port: six.socket.local.port });
});

it('a socket that cannot be connected is a rejection', async () => {
  const handlers = { onDatagram: () => undefined, onError: () => undefined };
  const opening = bindUdpSocket({ ip: '127.0.0.1', port: 0 }, handlers, { remote: { ip: '255.255.255.255', port: 9 } });
  await expect(opening).rejects.toMatchObject({ code: 'EACCES' }); // nobody has asked for broadcasts
});

describe('RemoteCache', () => {
  it('forgets the oldest senders when it is full, and stays within its bound', () => {
    const cache = new RemoteCache();
    const first = cache.get('10.0.0.1', 1);
    for (let port = 1; port <= 3 * MAX_CACHED_REMOTES; port++) cache.get('10.0.0.2', port % 65_536);
    expect(cache.size).toBeLessThanOrEqual(MAX_CACHED_REMOTES);
    expect(cache.get('10.0.0.1', 1)).toEqual(first);
    expect(cache.get('10.0.0.1', 1)).not.toBe(first);
  });

  it('writes addresses canonically and without zones', () => {
    const cache = new RemoteCache();
    expect(cache.get('fe80::1%eth0', 5)).toEqual({ ip: 'fe80::1', port: 5 });
    expect(cache.get('FE80:0::2', 5)).toEqual({ ip: 'fe80::2', port: 5 });
  });
});

describe('platform', () => {
  it('an IP literal resolves to its canonical self, and a name without addresses is a rejection', async () => {
    expect(await platform.resolve('127.0.0.1')).toEqual(['127.0.0.1']);
    expect(await platform.resolve('0:0:0:0:0:0:0:1')).toEqual(['::1']);
    await expect(platform.resolve(`${'x'.repeat(64)}.invalid`)).rejects.toBeInstanceOf(Error);
  });

  it('lists loopback as internal', () => {
    expect(platform.interfaces()).toContainEqual(expect.objectContaining({ ip: '127.0.0.1', internal: true }));
  });

  it('a timer fires at or after its instant, a cancelled one does not', async () => {
    const at = platform.now() + 3.5;
    platform.setTimer(at - 1, () => expect.unreachable('cancelled'))();
    const keepAlive = setInterval(() => undefined, 1000);
    await new Promise<void>((resolve) => platform.setTimer(at, resolve));
    clearInterval(keepAlive);
    expect(platform.now()).toBeGreaterThanOrEqual(at);
  });

  it('queued tasks run after microtasks, in their order', async () => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      platform.queueTask(() => order.push('first'));
      platform.queueTask(resolve);
      void Promise.resolve().then(() => order.push('microtask'));
    });
    expect(order).toEqual(['microtask', 'first']);
  });
});

/** Sends "ping" to a peer when asked and again 5 ms later; reports the text and the path object of what it receives. */
class Pinger implements SansIo<{ readonly text: string; readonly path: FiveTuple }, FiveTuple> {
  readonly #events: { text: string; path: FiveTuple }[] = [];
  #target: FiveTuple | undefined;
  #due: Instant = NEVER;
  #left = 0;

  start(path: FiveTuple, times: number, now: Instant): void {
    this.#target = path;
    this.#left = times;
    this.#due = now;
  }

  handleInput(bytes: Uint8Array, path: FiveTuple): void {
    this.#events.push({ text: new TextDecoder().decode(bytes), path });
  }

  handleTimeout(): void {
    // pollTransmit looks at the time itself
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    if (now < this.#due) return false;
    this.#due = --this.#left > 0 ? this.#due + 5 : NEVER;
    slot.length = new TextEncoder().encodeInto('ping', slot.buffer.subarray(slot.offset)).written;
    slot.path = this.#target;
    return true;
  }

  pollEvent(): { readonly text: string; readonly path: FiveTuple } | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#due;
  }
}

describe('UdpShell', () => {
  it('drives a core: sends to its path, fires its timer, and gives one path object per sender', async () => {
    const events: { text: string; path: FiveTuple }[] = [];
    let done: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => {
      done = resolve;
    });
    const receiver = new UdpShell({
      core: new Pinger(),
      onEvent: (event) => {
        events.push(event);
        if (events.length === 3) done();
      },
    });
    closers.push(() => receiver.close());
    const remote = await receiver.bind({ ip: '127.0.0.1', port: 0 });
    const pinger = new Pinger();
    const sender = new UdpShell({ core: pinger, onEvent: () => undefined });
    closers.push(() => sender.close());
    const local = await sender.bind({ ip: '127.0.0.1', port: 0 });
    sender.driver.mutate((now) => pinger.start({ protocol: 'udp', local, remote }, 3, now));
    await finished;
    expect(events.map(({ text }) => text)).toEqual(['ping', 'ping', 'ping']);
    expect(events[0]?.path).toEqual({ protocol: 'udp', local: remote, remote: local });
    expect(new Set(events.map(({ path }) => path)).size).toBe(1);
  });

  it('a path that names no socket of the shell is an error, not an exception', async () => {
    const errors: string[] = [];
    const pinger = new Pinger();
    const shell = new UdpShell({
      core: pinger,
      onEvent: () => undefined,
      onError: (error) => errors.push(error.message),
    });
    closers.push(() => shell.close());
    const nowhere: FiveTuple = {
      protocol: 'udp',
      local: { ip: '127.0.0.1', port: 1 },
      remote: { ip: '127.0.0.1', port: 2 },
    };
    shell.driver.mutate((now) => pinger.start(nowhere, 1, now));
    expect(errors).toEqual(['a datagram for a socket that is not bound']);
  });

  it('a bind that completes after close is undone', async () => {
    const shell = new UdpShell({ core: new Pinger(), onEvent: () => undefined });
    const binding = shell.bind({ ip: '127.0.0.1', port: 0 });
    shell.close();
    await expect(binding).rejects.toThrow('closed');
  });
});
