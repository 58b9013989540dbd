/** What W3C §6.2 fixes about the life of a channel: states, the order of events, ids, and what each option becomes. */
import { afterEach, describe, expect, it } from 'vitest';
import { type RTCDataChannel, type RTCDataChannelInit, RTCError, RTCErrorEvent } from '../../src/index.ts';
import { negotiate, once, Pair, untilState } from './support.ts';

let pair: Pair | undefined;
afterEach(() => {
  pair?.close();
  pair = undefined;
});

const KINDS = ['in-band', 'negotiated'] as const;

/** Both ends of a channel, open. */
async function open(kind: (typeof KINDS)[number]): Promise<[RTCDataChannel, RTCDataChannel]> {
  pair = new Pair();
  if (kind === 'in-band') return pair.connect();
  const init = { negotiated: true, id: 0 };
  const ends = [pair.a.createDataChannel('', init), pair.b.createDataChannel('', init)] as const;
  await negotiate(pair.a, pair.b);
  await Promise.all(ends.map((end) => untilState(end, 'open')));
  return [...ends];
}

function record(channel: RTCDataChannel, log: string[], name = ''): void {
  for (const type of ['closing', 'error', 'close', 'bufferedamountlow'] as const) {
    channel.addEventListener(type, () => log.push(`${name}${type} ${channel.readyState}`));
  }
}

describe.each(KINDS)('closing (%s)', (kind) => {
  it('by one side: closing and close there, close here, no error', async () => {
    const [a, b] = await open(kind);
    const log: string[] = [];
    record(a, log, 'a ');
    record(b, log, 'b ');
    const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
    a.close();
    a.close(); // does nothing
    expect(a.readyState).toBe('closing');
    expect(() => a.send('late')).toThrow(expect.objectContaining({ name: 'InvalidStateError' }));
    await closed;
    expect(log.filter((entry) => entry.startsWith('a'))).toEqual(['a close closed']);
    expect(log.filter((entry) => entry.startsWith('b'))).toEqual(['b closing closing', 'b close closed']);
  });

  it('by both sides at once: close on each, nothing else', async () => {
    const [a, b] = await open(kind);
    const log: string[] = [];
    record(a, log);
    record(b, log);
    const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
    a.close();
    b.close();
    await closed;
    expect(log).toEqual(['close closed', 'close closed']);
  });

  it('everything that was sent before arrives', async () => {
    const [a, b] = await open(kind);
    const received: unknown[] = [];
    b.onmessage = ({ data }) => received.push(data);
    const closed = once(b, 'close');
    for (let i = 0; i < 50; i++) a.send(`${i}`);
    a.send(new Blob(['blob']));
    a.close();
    await closed;
    expect(received).toHaveLength(51);
  });

  it('by the other side right behind its messages: all of them come, and answers to them are lost', async () => {
    const [a, b] = await open(kind);
    const states: string[] = [];
    b.onmessage = ({ data }) => {
      b.send(data as string); // open until the event says otherwise, so that it must not throw
      states.push(b.readyState);
    };
    const closed = once(b, 'close');
    for (let i = 0; i < 5; i++) a.send('x');
    a.close();
    await closed;
    expect(states).toEqual(new Array(5).fill('open'));
  });

  it('the connection: an error and then close there, nothing here', async () => {
    const [a, b] = await open(kind);
    const log: string[] = [];
    record(a, log, 'a ');
    record(b, log, 'b ');
    const failed = once<RTCErrorEvent>(b, 'error');
    const closed = once(b, 'close');
    pair!.a.close();
    expect(a.readyState).toBe('closed');
    const event = await failed;
    expect(event).toBeInstanceOf(RTCErrorEvent);
    expect(event.error).toBeInstanceOf(RTCError);
    expect(event.error).toMatchObject({ name: 'OperationError', errorDetail: 'sctp-failure', sctpCauseCode: 12 });
    await closed;
    expect(log).toEqual(['b error closed', 'b close closed']);
  });

  it('the connection after the channel: no more events', async () => {
    const [a, b] = await open(kind);
    const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
    a.close();
    await closed;
    const log: string[] = [];
    record(a, log);
    record(b, log);
    const other = once(pair!.b.sctp!, 'statechange');
    pair!.a.close();
    await other;
    expect(log).toEqual([]);
  });

  it('bufferedAmount stays what it was', async () => {
    const [a] = await open(kind);
    a.send('hello');
    a.close();
    expect(a.bufferedAmount).toBe(5);
    const [c] = await open(kind);
    c.send('hello');
    pair!.a.close();
    expect(c.bufferedAmount).toBe(5);
  });

  it('frees the id, which is taken until then', async () => {
    const [a, b] = await open(kind);
    const id = a.id!;
    const again = () => pair!.a.createDataChannel('again', { negotiated: true, id });
    expect(again).toThrow(expect.objectContaining({ name: 'OperationError' }));
    const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
    a.close();
    expect(again).toThrow(expect.objectContaining({ name: 'OperationError' }));
    await closed;
    const reused = again();
    expect([reused.id, reused.readyState]).toEqual([id, 'connecting']);
    await untilState(reused, 'open');
  });
});

describe('datachannel and open', () => {
  it('the channel is open in the datachannel event; open follows in a task of its own', async () => {
    pair = new Pair();
    const log: string[] = [];
    const opened = new Promise<void>((resolve) => {
      pair!.b.ondatachannel = ({ channel, bubbles, cancelable }) => {
        log.push(`datachannel ${channel.readyState} ${bubbles} ${cancelable}`);
        channel.onopen = () => {
          log.push('open');
          resolve();
        };
        queueMicrotask(() => log.push('microtask'));
      };
    });
    pair.a.createDataChannel('x');
    await negotiate(pair.a, pair.b);
    await opened;
    expect(log).toEqual(['datachannel open false false', 'microtask', 'open']);
  });

  it.each([
    ['at once', false],
    ['in a microtask', true],
  ])('closing it in the event, %s: no open event, and what was sent arrives', async (_, later) => {
    pair = new Pair();
    const log: string[] = [];
    const mine = pair.a.createDataChannel('x');
    const received = once<MessageEvent>(mine, 'message');
    const closed = new Promise((resolve) => {
      pair!.b.ondatachannel = async ({ channel }) => {
        channel.onopen = () => log.push('open');
        channel.addEventListener('close', resolve);
        channel.send('from the handler');
        if (later) await Promise.resolve();
        channel.close();
      };
    });
    await negotiate(pair.a, pair.b);
    expect((await received).data).toBe('from the handler');
    await closed;
    expect(log).toEqual([]);
  });

  it('a message that follows the announcement is not lost, handler set in datachannel or in open', async () => {
    pair = new Pair();
    const received = new Promise((resolve) => {
      pair!.b.ondatachannel = ({ channel }) => {
        channel.onopen = () => {
          channel.onmessage = ({ data }) => resolve(data);
        };
      };
    });
    const mine = pair.a.createDataChannel('x');
    mine.onopen = () => mine.send('first');
    await negotiate(pair.a, pair.b);
    expect(await received).toBe('first');
  });
});

describe('a message event', () => {
  it('has data and origin, and is a MessageEvent', async () => {
    const [a, b] = await open('in-band');
    const arrived = once<MessageEvent>(b, 'message');
    a.send('x');
    const event = await arrived;
    expect(event).toBeInstanceOf(MessageEvent);
    expect([event.data, event.origin, event.lastEventId, event.source]).toEqual(['x', '', '', null]);
    expect([event.bubbles, event.cancelable]).toEqual([false, false]);
  });

  it.each([
    [null, 'null'],
    [undefined, 'undefined'],
    [12, '12'],
    [{ toString: () => 'an object' }, 'an object'],
    ['lone \ud800 surrogate', 'lone \ufffd surrogate'],
    ['', ''],
  ])('send(%o) arrives as %o', async (given, expected) => {
    const [a, b] = await open('in-band');
    const arrived = once<MessageEvent>(b, 'message');
    Reflect.apply(a.send, a, [given]);
    expect((await arrived).data).toBe(expected);
  });
});

describe('a Blob that cannot be read', () => {
  class Gone extends Blob {
    override arrayBuffer(): Promise<ArrayBuffer> {
      return Promise.reject(new Error('the file is gone'));
    }
  }

  it('is an error of the channel, which ends; what came before it arrives, and nothing that came after', async () => {
    const [a, b] = await open('in-band');
    const log: string[] = [];
    record(a, log);
    const received: unknown[] = [];
    b.onmessage = ({ data }) => received.push(data);
    const failed = once<RTCErrorEvent>(a, 'error');
    const closed = Promise.all([once(a, 'close'), once(b, 'close')]);
    a.send('before');
    a.send(new Gone(['unreadable']));
    a.send('after');
    expect((await failed).error).toMatchObject({ errorDetail: 'data-channel-failure' });
    await closed;
    expect(received).toEqual(['before']);
    expect(log.filter((entry) => !entry.startsWith('buffered'))).toEqual(['error closing', 'close closed']);
    expect(a.bufferedAmount).toBe(0);
  });

  it('is nothing on a channel that has ended meanwhile', async () => {
    const [a] = await open('in-band');
    a.send(new Gone(['unreadable']));
    pair!.a.close();
    await new Promise(setImmediate);
    expect(a.readyState).toBe('closed');
  });
});

describe('the options of RFC 8832 §5.1 on the other side', () => {
  const OPTIONS: readonly RTCDataChannelInit[] = [
    {},
    { ordered: false },
    ...[0, 1, 65_535].flatMap((value) =>
      [true, false].flatMap((ordered) => [
        { ordered, maxRetransmits: value },
        { ordered, maxPacketLifeTime: value },
      ]),
    ),
    { protocol: 'p'.repeat(65_535) },
    { protocol: '\u20ac'.repeat(21_845) },
  ];

  it('are those of createDataChannel, whatever they are', async () => {
    pair = new Pair();
    await pair.connect();
    for (const options of OPTIONS) {
      const announced = once<Event & { channel: RTCDataChannel }>(pair.b, 'datachannel');
      const mine = pair.a.createDataChannel('\u2022'.repeat(options.protocol ? 21_845 : 1), options);
      const { channel } = await announced;
      const shown = ({
        label,
        protocol,
        ordered,
        maxRetransmits,
        maxPacketLifeTime,
        negotiated,
        id,
      }: RTCDataChannel) => ({
        label,
        protocol,
        ordered,
        maxRetransmits,
        maxPacketLifeTime,
        negotiated,
        id,
      });
      expect(shown(channel)).toEqual(shown(mine));
      expect(mine).toMatchObject({ ordered: true, maxRetransmits: null, maxPacketLifeTime: null, ...options });
    }
  });
});

describe('ids', () => {
  it.each([
    ['active', 1],
    ['passive', 0],
  ])('an answer with a=setup:%s makes ours odd or even, also of channels that come later', async (setup, parity) => {
    pair = new Pair();
    const { a } = pair;
    const before = a.createDataChannel('before');
    const negotiated = a.createDataChannel('negotiated', { negotiated: true, id: parity + 2 });
    expect([before.id, negotiated.id]).toEqual([null, parity + 2]);
    await a.setLocalDescription();
    // Our own offer, turned into the answer of a peer that does not exist.
    await a.setRemoteDescription({ type: 'answer', sdp: a.localDescription!.sdp.replace('actpass', setup) });
    const after = Array.from({ length: 10 }, () => a.createDataChannel('after').id!);
    const ids = [before.id!, ...after];
    expect(ids.every((id) => id % 2 === parity)).toBe(true);
    expect(new Set([...ids, negotiated.id]).size).toBe(12);
  });
});
