import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FromPeer, PeerConfig } from '../../src/cli/demo/messages.ts';
import { DemoPeer } from '../../src/cli/demo/peer.ts';
import { SignalingServer, StunServer } from '../../src/server/index.ts';
import { temporaryFolder } from './support.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
const closers: (() => unknown)[] = [];
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await folder.remove();
});

async function servers() {
  const signaling = new SignalingServer();
  const stun = new StunServer();
  closers.push(
    () => signaling.close(),
    () => stun.close(),
  );
  const { port } = await signaling.listen({ port: 0 });
  const { port: stunPort } = await stun.listen({ port: 0 });
  return { signalingUrl: `ws://127.0.0.1:${port}`, iceServers: [{ urls: `stun:127.0.0.1:${stunPort}` }] };
}

/** A peer, all it reports, and a promise of the first report of a kind. */
function peer(config: Partial<PeerConfig> & Pick<PeerConfig, 'name' | 'signalingUrl' | 'iceServers'>) {
  const reports: FromPeer[] = [];
  const waiting: (() => void)[] = [];
  const made = new DemoPeer(
    {
      room: 'r',
      folder: folder.path,
      saveTo: folder.path,
      sendFile: undefined,
      relayOnly: false,
      attempts: 2,
      greet: false,
      ...config,
    },
    (message) => {
      reports.push(message);
      for (const wake of waiting.splice(0)) wake();
    },
  );
  closers.push(() => made.stop());
  made.start();
  const until = async (matches: (report: FromPeer) => boolean): Promise<void> => {
    while (!reports.some(matches)) {
      const failure = reports.find((report) => report.type === 'failed');
      if (failure !== undefined) throw new Error(failure.reason);
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  const steps = () => reports.flatMap((report) => (report.type === 'step' ? [`${report.step}: ${report.text}`] : []));
  const done = () => reports.flatMap((report) => (report.type === 'step' && report.done ? [report.step] : []));
  return { made, reports, until, steps, done };
}

describe('DemoPeer', () => {
  it('two peers go through the four steps and a file', async () => {
    const urls = await servers();
    const file = join(folder.path, 'file.bin');
    await writeFile(file, randomBytes(2_000_000));
    const ada = peer({ ...urls, name: 'Ada' });
    await ada.until((report) => report.type === 'ready');
    const bob = peer({ ...urls, name: 'Bob', sendFile: file });
    await bob.until((report) => report.type === 'finished' || report.type === 'failed');
    expect(bob.reports.at(-1)).toEqual({ type: 'finished' });
    expect([...new Set(bob.done())]).toEqual(['signaling', 'connecting', 'securing', 'communicating']);
    const text = bob.steps().join('\n');
    expect(text).toMatch(/candidate found: host 127\.0\.0\.1:\d+ udp/);
    expect(text).toMatch(/pair selected: host \S+ udp to /);
    expect(text).toMatch(/DTLS 1\.2 as (client|server): TLS_ECDHE_ECDSA_\w+/);
    expect(text).toMatch(/Ada's certificate matches sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}/);
    expect(text).toContain('binary: 97.7 KiB came back unchanged');
    await ada.until((report) => report.type === 'step' && report.text.includes('SHA-256 verified: file.bin'));
    expect(await readdir(folder.path)).toContain('received-file.bin');
  });

  it('greets, answers text and /file requests, and passes on what the person at the terminal says', async () => {
    const urls = await servers();
    const ada = peer({ ...urls, name: 'Ada', greet: true });
    await ada.until((report) => report.type === 'ready');
    const guest = peer({ ...urls, name: 'Guest' });
    const heard = (part: string) =>
      guest.until(
        (report) => report.type === 'step' && report.text.startsWith('text from Ada: ') && report.text.includes(part),
      );
    await heard('Hello Guest, this is Ada');
    ada.made.say('a line');
    await heard('a line');
    guest.made.say('/file 1');
    await guest.until((report) => report.type === 'step' && report.text.includes('SHA-256 verified: random-1-MiB.bin'));
    guest.made.say('/file 999');
    await heard('Ask for 1 to 200 MiB, please.');
  });

  it('a server that is not there fails with a reason', async () => {
    const keepAlive = setInterval(() => undefined, 1000); // timers of the platform do not hold the process
    closers.push(() => clearInterval(keepAlive));
    const ada = peer({ name: 'Ada', signalingUrl: 'ws://127.0.0.1:9', iceServers: [] });
    await ada.until((report) => report.type === 'failed');
    expect(ada.reports.at(-1)).toEqual({
      type: 'failed',
      reason: expect.stringMatching(/^signaling: .*ECONNREFUSED.*gave up after 2 attempts$/),
    });
  });
});
