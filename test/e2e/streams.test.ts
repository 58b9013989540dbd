import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { CHANNEL_STREAM_BUFFER_BYTES, channelStreams, type RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK, negotiate, once, Pair } from './support.ts';

const CHUNK = 64 * 1024;
const bytesOf = (index: number): Uint8Array => new Uint8Array(CHUNK).fill(index & 255);

let pair: Pair;
afterEach(() => pair.close());

describe('channelStreams', () => {
  it('pipes bytes and text, through an echo, and closing the writable ends both sides', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const there = channelStreams(b);
    const echo = there.readable.pipeTo(there.writable, { preventClose: true });
    const here = channelStreams(a);
    const total = 100;
    const hash = createHash('sha256');
    const source = new ReadableStream<Uint8Array | string>({
      start(controller) {
        for (let i = 0; i < total; i++) {
          hash.update(bytesOf(i));
          controller.enqueue(bytesOf(i));
        }
        controller.enqueue('grüezi');
        controller.enqueue('');
        controller.close();
      },
    });
    const sending = source.pipeTo(here.writable, { preventClose: true });
    const received = createHash('sha256');
    const texts: string[] = [];
    const reader = here.readable.getReader();
    for (let i = 0; i < total + 2; i++) {
      const { value } = await reader.read();
      if (typeof value === 'string') texts.push(value);
      else received.update(value!);
    }
    await sending;
    expect(received.digest('hex')).toBe(hash.digest('hex'));
    expect(texts).toEqual(['grüezi', '']);
    await here.writable.close();
    await echo; // its readable has ended, in order
    expect(await reader.read()).toEqual({ value: undefined, done: true });
    expect([a.readyState, b.readyState]).toEqual(['closed', 'closed']);
  });

  it('a slow reader slows the sender instead of filling memory', async () => {
    const window = 400_000;
    pair = new Pair(LOOPBACK, { purertc: { ...LOOPBACK.purertc, sctp: { receiveWindowBytes: window } } });
    const [a, b] = await pair.connect();
    const { readable } = channelStreams(b);
    const { writable } = channelStreams(a);
    const chunks = 100;
    let written = 0;
    const sending = (async () => {
      const writer = writable.getWriter();
      for (let i = 0; i < chunks; i++) {
        await writer.write(bytesOf(i));
        written++;
      }
      await writer.close();
    })();
    const sctp = async () => [...(await pair.a.getStats()).values()].find(({ type }) => type === 'sctp-transport')!;
    // Full on both sides: the window is used up, and the writable waits for it.
    await expect.poll(async () => Number((await sctp())['receiverWindow'])).toBeLessThan(CHUNK);
    await expect.poll(() => a.bufferedAmount).toBeGreaterThan(CHANNEL_STREAM_BUFFER_BYTES / 4);
    expect(written * CHUNK).toBeLessThan(CHANNEL_STREAM_BUFFER_BYTES + window + 3 * CHUNK);
    let index = 0;
    for await (const chunk of readable) {
      expect(chunk).toHaveLength(CHUNK);
      expect((chunk as Uint8Array)[0]).toBe(index++ & 255);
    }
    expect(index).toBe(chunks);
    await sending;
  });

  it('waits for the channel to open, and for the window from its first message on', async () => {
    pair = new Pair();
    const early = channelStreams(pair.a.createDataChannel('early'));
    const writing = early.writable.getWriter().write('first');
    pair.b.ondatachannel = ({ channel }) => channel.send('welcome');
    const announced = once<Event & { channel: ReturnType<RTCPeerConnection['createDataChannel']> }>(
      pair.b,
      'datachannel',
    );
    await negotiate(pair.a, pair.b);
    const there = channelStreams((await announced).channel);
    await writing;
    expect((await there.readable.getReader().read()).value).toBe('first');
    expect((await early.readable.getReader().read()).value).toBe('welcome');
  });

  it('cancelling the readable closes the channel: the other side’s writable fails', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const here = channelStreams(a);
    const there = channelStreams(b);
    await there.readable.cancel();
    await expect(here.writable.getWriter().closed).rejects.toThrow('the channel is closed');
    expect((await here.readable.getReader().read()).done).toBe(true);
  });

  it('close() of the connection is an error of both, after what has arrived', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const { readable, writable } = channelStreams(a);
    b.send('last words');
    await expect
      .poll(async () => {
        const stats = [...(await pair.a.getStats()).values()];
        return stats.find(({ type }) => type === 'data-channel')?.['messagesReceived'];
      })
      .toBe(1);
    pair.close();
    const reader = readable.getReader();
    expect((await reader.read()).value).toBe('last words');
    await expect(reader.read()).rejects.toThrow('the connection was closed');
    await expect(writable.getWriter().closed).rejects.toThrow('the connection was closed');
  });

  it('refuses a second view, a closed channel and what is no channel; a chunk too long is the stream’s error', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const { writable } = channelStreams(a);
    expect(() => channelStreams(a)).toThrow(expect.objectContaining({ name: 'InvalidStateError' }));
    const limit = pair.a.sctp!.maxMessageSize;
    await expect(writable.getWriter().write(new Uint8Array(limit + 1))).rejects.toThrow(TypeError);
    b.close();
    await once(b, 'close');
    expect(() => channelStreams(b)).toThrow(expect.objectContaining({ name: 'InvalidStateError' }));
    expect(() => channelStreams(new EventTarget() as typeof b)).toThrow(TypeError);
  });
});
