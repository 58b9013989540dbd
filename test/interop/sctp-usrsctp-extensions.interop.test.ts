import { describe, expect, it, vi } from 'vitest';
import { pattern } from '../sctp/helpers.ts';
import { connectUsrsctp, tellUsrsctp } from './usrsctp-peer.ts';

// At 10 % loss usrsctp backs off now and then: a run takes seconds, and rarely half a minute.
vi.setConfig({ testTimeout: 150_000 });

const ROLES = ['client', 'server'] as const;

/**
 * While our answer to its request is on the way, usrsctp neither sends on the streams that the request names nor begins
 * another: what it was told is lost then. So it is told again until it has done it.
 */
async function insist(us: Awaited<ReturnType<typeof connectUsrsctp>>, act: () => void, done: () => boolean) {
  const again = setInterval(act, 500);
  act();
  await us.until(done);
  clearInterval(again);
}

/** What usrsctp-echo.c fills a message with. */
function usrsctpPattern(length: number, ppid: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 31 + ppid);
}

describe.each([0, 0.1])('I-DATA with usrsctp (RFC 8260), %f loss', (loss) => {
  it.each(ROLES)('we are the %s: fragments of many messages interleave, both ways and both kinds', async (role) => {
    const us = await connectUsrsctp({ role, loss, interleaving: true, options: { scheduler: 'round-robin' } });
    const sizes = [loss > 0 ? 60_000 : 262_144, 1, 30_000, 1160, 5000]; // at 10 % loss usrsctp takes its time
    us.driver.mutate((now) => {
      for (const [streamId, size] of sizes.entries()) {
        for (const ordered of [true, false]) {
          us.core.send({ streamId, ppid: 53, bytes: pattern(size, streamId), ordered }, now);
        }
      }
    });
    await us.until(() => us.messages.length === 2 * sizes.length);
    for (const { streamId, bytes, ppid } of us.messages) {
      expect(Buffer.compare(bytes, pattern(sizes[streamId]!, streamId))).toBe(0);
      expect(ppid).toBe(53);
    }
    expect(us.messages.filter((m) => m.unordered).length).toBe(sizes.length);
    expect(us.messages[0]!.streamId, 'a short message does not wait for a long one').not.toBe(0);
    expect(us.core.drops.get('bad-value') + us.core.drops.get('unsupported')).toBe(0);
  });

  it('messages that either side gives up do not hold the others up (I-FORWARD-TSN)', async () => {
    const us = await connectUsrsctp({ role: 'client', loss, interleaving: true });
    await exchangeUnreliable(us);
  });

  it('streams are reset and used again', async () => {
    const us = await connectUsrsctp({ role: 'server', loss, interleaving: true });
    for (let round = 1; round <= 3; round++) {
      const message = { streamId: 4, ppid: round, bytes: pattern(3000, round), ordered: true };
      await insist(
        us,
        () => us.driver.mutate((now) => us.core.send(message, now)),
        () => us.messages.some((m) => m.ppid === round),
      );
      us.driver.mutate((now) => us.core.resetStreams([4], now));
      await us.until(() => us.count('outgoing-reset') === round && us.count('incoming-reset') === round);
    }
    expect([...new Set(us.messages.map((m) => m.ppid))]).toEqual([1, 2, 3]);
  });
});

/** 30 messages each way, two thirds of them of limited reliability; usrsctp echoes ours. */
async function exchangeUnreliable(us: Awaited<ReturnType<typeof connectUsrsctp>>): Promise<void> {
  const theirs = () => us.messages.filter((m) => m.streamId < 3);
  const echoes = () => us.messages.filter((m) => m.streamId === 5);
  for (let i = 0; i < 30; i++) {
    const [stream, policy] = (
      [
        [0, 'none 0'],
        [1, 'rtx 0'],
        [2, 'ttl 20'],
      ] as const
    )[i % 3]!;
    tellUsrsctp(`send ${stream} ${1000 + i} ${20 + 50 * i} ${i % 2} ${policy}`);
    const limits = [{}, { maxRetransmits: 0 }, { lifetimeMs: 20 }][i % 3]!;
    us.driver.mutate((now) =>
      us.core.send({ streamId: 5, ppid: i, bytes: pattern(20 + 50 * i, i), ordered: true, ...limits }, now),
    );
  }
  await us.until(() => theirs().filter((m) => m.streamId === 0).length === 10);
  await us.until(() => echoes().filter((m) => m.ppid % 3 === 0).length === 10);
  for (const { ppid, bytes } of theirs()) {
    expect(Buffer.compare(bytes, usrsctpPattern(20 + 50 * (ppid - 1000), ppid))).toBe(0);
  }
  expect(new Set(us.messages.map((m) => m.ppid)).size).toBe(us.messages.length); // each at most once
  const order = echoes().map((m) => m.ppid);
  expect(order).toEqual([...order].sort((x, y) => x - y));
}

describe.each([0, 0.1])('partial reliability of usrsctp (RFC 3758, RFC 7496), %f loss', (loss) => {
  it.each(ROLES)('we are the %s: FORWARD TSN both ways', async (role) => {
    await exchangeUnreliable(await connectUsrsctp({ role, loss }));
  });
});

describe.each([0, 0.1])('DATA with the COOKIE ECHO (RFC 9260 §5.1 C), %f loss', (loss) => {
  it('is taken, and echoed once', async () => {
    const say = { streamId: 2, ppid: 77, bytes: pattern(50, 1), ordered: true };
    const us = await connectUsrsctp({
      role: 'client',
      loss,
      options: { earlyData: true },
      onSendable: ({ core, driver }) => driver.mutate((now) => core.send(say, now)),
    });
    await us.until(() => us.messages.length === 1);
    expect(us.messages[0]).toMatchObject({ streamId: 2, ppid: 77 });
    if (loss === 0) expect(us.core.stats().retransmissions).toBe(0);
    us.driver.mutate((now) => us.core.send({ streamId: 2, ppid: 78, bytes: pattern(10, 1), ordered: true }, now));
    await us.until(() => us.messages.length === 2);
    expect(us.messages.map((m) => m.ppid)).toEqual([77, 78]);
  });
});

describe.each([0, 0.1])('reconfiguration by usrsctp (RFC 6525), %f loss', (loss) => {
  it.each(ROLES)('we are the %s: streams are added in both directions, by both sides, and used', async (role) => {
    const us = await connectUsrsctp({ role, loss, options: { outboundStreams: 4, inboundStreams: 4 } });
    const outbound = () => us.core.outboundStreams ?? 0;
    const inbound = () => us.core.inboundStreams ?? 0;
    expect([outbound(), inbound()]).toEqual([4, 4]);
    await insist(
      us,
      () => tellUsrsctp('add 2 0'),
      () => inbound() >= 6,
    );
    await insist(
      us,
      () => tellUsrsctp('add 0 3'),
      () => outbound() >= 7,
    ); // it asks us to ask
    const before = [outbound(), inbound()] as const;
    const add = () => us.driver.mutate((now) => us.core.addStreams(1, 2, now));
    await insist(us, add, () => outbound() > before[0] && inbound() >= before[1] + 2);
    const message = { streamId: 7, ppid: 9, bytes: pattern(500, 1), ordered: true };
    await insist(
      us,
      () => us.driver.mutate((now) => us.core.send(message, now)),
      () => us.messages.length > 0,
    );
    expect(us.messages[0]).toMatchObject({ streamId: 7, ppid: 9 });
  });

  it('both halves are reset at its request', async () => {
    const us = await connectUsrsctp({ role: 'client', loss });
    us.driver.mutate((now) => us.core.send({ streamId: 6, ppid: 1, bytes: pattern(10, 1), ordered: true }, now));
    await us.until(() => us.messages.length === 1);
    tellUsrsctp('reset 6');
    await us.until(() => us.count('incoming-reset') >= 1 && us.count('outgoing-reset') >= 1);
    const message = { streamId: 6, ppid: 2, bytes: pattern(10, 2), ordered: true };
    await insist(
      us,
      () => us.driver.mutate((now) => us.core.send(message, now)),
      () => us.messages.length >= 2,
    );
    expect(us.events.filter((e) => e.type === 'outgoing-reset')[0]).toEqual({
      type: 'outgoing-reset',
      streamIds: [6],
      ok: true,
    });
  });
});

describe.each([0, 0.1])('the end by usrsctp, %f loss', (loss) => {
  it.each(ROLES)('we are the %s: SHUTDOWN, after what it has queued', async (role) => {
    const us = await connectUsrsctp({ role, loss });
    tellUsrsctp('send 1 7 100000 1 none 0');
    tellUsrsctp('shutdown');
    await us.until(() => us.core.state === 'closed');
    expect(us.messages.map((m) => m.bytes.length)).toEqual([100_000]);
    expect(us.events.at(-1)).toEqual({ type: 'closed' });
  });
});

it('an ABORT of usrsctp ends it with its reason', async () => {
  const us = await connectUsrsctp({ role: 'server', loss: 0 });
  tellUsrsctp('abort');
  await us.until(() => us.core.state === 'closed');
  expect(us.events.at(-1)).toEqual({ type: 'aborted', byPeer: true, cause: 12, message: 'bye' });
});
