import { describe, expect, it, vi } from 'vitest';
import { pattern } from '../sctp/helpers.ts';
import { connectUsrsctp } from './usrsctp-peer.ts';

// At 10 % loss both sides back off now and then; a run takes seconds, and rarely half a minute.
vi.setConfig({ testTimeout: 150_000 });

describe.each([0, 0.02, 0.1])('usrsctp over plain UDP with %f loss', (loss) => {
  it.each(['client', 'server'] as const)(
    'we are the %s: every size comes back, ordered and unordered',
    async (role) => {
      const us = await connectUsrsctp({ role, loss });
      const sizes = [1, 2, 3, 4, 1000, 1163, 1164, 5000, 65_535, 262_144];
      for (const [i, size] of sizes.entries()) {
        for (const ordered of [true, false]) {
          us.driver.mutate((now) => us.core.send({ streamId: i, ppid: 53, bytes: pattern(size, i), ordered }, now));
        }
      }
      await us.until(() => us.messages.length === 2 * sizes.length);
      for (const message of us.messages) {
        expect(Buffer.compare(message.bytes, pattern(sizes[message.streamId]!, message.streamId))).toBe(0);
        expect(message.ppid).toBe(53);
      }
      expect(us.messages.filter((m) => m.unordered).length).toBe(sizes.length);
      expect(us.core.drops.get('bad-checksum') + us.core.drops.get('bad-tag') + us.core.drops.get('bad-value')).toBe(0);
    },
  );

  it('many ordered messages stay in order, and unreliable ones do not block them', async () => {
    const us = await connectUsrsctp({ role: 'client', loss });
    const count = loss > 0.05 ? 200 : 1000; // usrsctp's echo is what takes the time
    for (let i = 0; i < count; i++) {
      const limits = i % 5 === 4 ? { maxRetransmits: 0 } : {};
      const bytes = new Uint8Array(2000);
      new DataView(bytes.buffer).setUint32(0, i);
      us.driver.mutate((now) => us.core.send({ streamId: 1, ppid: 53, bytes, ordered: true, ...limits }, now));
    }
    const numbers = () => us.messages.map((m) => new DataView(m.bytes.buffer, m.bytes.byteOffset).getUint32(0));
    const reliable = () => numbers().filter((n) => n % 5 !== 4).length;
    await us.until(() => reliable() === (count * 4) / 5);
    expect(numbers()).toEqual([...numbers()].sort((x, y) => x - y));
    if (loss === 0) expect(us.messages.length).toBeGreaterThan(count - 10);
  });

  it('streams are reset both ways and used again', async () => {
    const us = await connectUsrsctp({ role: 'server', loss });
    const say = (ppid: number) =>
      us.driver.mutate((now) => us.core.send({ streamId: 3, ppid, bytes: pattern(100, ppid), ordered: true }, now));
    for (let round = 1; round <= 5; round++) {
      // usrsctp refuses to send on a stream while our answer to its own reset is still on the way: then say it again.
      const echoed = () => us.messages.some((m) => m.ppid === round);
      const again = setInterval(() => say(round), 500);
      say(round);
      await us.until(echoed);
      clearInterval(again);
      us.driver.mutate((now) => us.core.resetStreams([3], now));
      await us.until(() => us.count('outgoing-reset') === round && us.count('incoming-reset') === round);
    }
    expect(us.events.filter((event) => event.type === 'outgoing-reset')).toEqual(
      new Array(5).fill({ type: 'outgoing-reset', streamIds: [3], ok: true }),
    );
  });

  it('shuts down gracefully', async () => {
    const us = await connectUsrsctp({ role: 'client', loss });
    us.driver.mutate((now) => us.core.send({ streamId: 0, ppid: 53, bytes: pattern(50_000, 1), ordered: true }, now));
    us.driver.mutate((now) => us.core.shutdown(now));
    await us.until(() => us.core.state === 'closed');
    expect(us.events.at(-1)).toEqual({ type: 'closed' });
  });
});
