import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK } from '../e2e/support.ts';
import { type Description, gathered } from '../peer-connection/descriptions.ts';
import { useChromium } from './chrome.ts';

const BULK_BYTES = 100 * 1024 * 1024;
const BULK_HIGH_BYTES = 4 * 1024 * 1024;
const BULK_LOW_BYTES = 1024 * 1024;
const BULK_SIZES: readonly number[] = [262_144, 1, 65_536, 16_384, 1200];

/** FNV-1a, continued from `hash`. */
function fnv(hash: number, bytes: Uint8Array): number {
  let h = hash;
  for (const byte of bytes) h = Math.imul(h ^ byte, 0x0100_0193) >>> 0;
  return h;
}

/** Message `i` of the bulk transfer. */
function bulkMessage(i: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let k = 0; k < length; k++) bytes[k] = (k * 31 + (k >>> 8) + i) & 255;
  return bytes;
}

/** The same in the page: sends, and tells what it received. */
const BULK = `
  ${fnv.toString()}
  ${bulkMessage.toString()}
  bulk.binaryType = 'arraybuffer';
  bulk.bufferedAmountLowThreshold = ${BULK_LOW_BYTES};
  const received = { bytes: 0, hash: 0x811c9dc5 };
  const arrived = new Promise((resolve) => bulk.addEventListener('message', ({ data }) => {
    const bytes = new Uint8Array(data);
    received.hash = fnv(received.hash, bytes);
    received.bytes += bytes.length;
    if (received.bytes >= ${BULK_BYTES}) resolve();
  }));
  window.runBulk = async (channel) => {
    await opened(channel);
    const sizes = [${BULK_SIZES.join()}];
    for (let sent = 0, i = 0; sent < ${BULK_BYTES}; i++) {
      const bytes = bulkMessage(i, Math.min(sizes[i % sizes.length], ${BULK_BYTES} - sent));
      sent += bytes.length;
      if (channel.bufferedAmount > ${BULK_HIGH_BYTES})
        await new Promise((resolve) => channel.addEventListener('bufferedamountlow', resolve, { once: true }));
      channel.send(bytes);
    }
    await arrived;
    return received;
  };`;

describe('channels with Chromium', () => {
  const chromium = useChromium();
  let page: Page;
  let node: RTCPeerConnection;

  beforeEach(async () => {
    page = await chromium.openPage();
  });
  afterEach(() => node.close());

  /** Chromium offers what `make` puts on `pc`; the Node side echoes, and closes a channel that says "close me". */
  async function connect(make: string, bundlePolicy: 'balanced' | 'max-bundle' = 'balanced'): Promise<void> {
    node = new RTCPeerConnection({ ...LOOPBACK, bundlePolicy });
    node.addEventListener('datachannel', ({ channel }) => {
      channel.addEventListener('message', ({ data }) => (data === 'close me' ? channel.close() : channel.send(data)));
    });
    const offer = await page.evaluate<Description>(`(async () => {
      window.pc = new RTCPeerConnection({ bundlePolicy: '${bundlePolicy}' });
      window.ended = (channel) => new Promise((resolve) => channel.addEventListener('close', resolve));
      ${make}
      await pc.setLocalDescription();
      await gathered(pc);
      return pc.localDescription.toJSON();
    })()`);
    await node.setRemoteDescription(offer);
    await node.setLocalDescription();
    await page.evaluate(`pc.setRemoteDescription(${JSON.stringify(await gathered(node))})`);
  }

  it('every kind of channel echoes, and either side closes it', async () => {
    await connect(`window.kinds = [{}, { ordered: false }, { maxRetransmits: 3 }, { maxRetransmits: 0, ordered: false },
      { maxPacketLifeTime: 100 }, { maxPacketLifeTime: 65535, ordered: false }, { protocol: 'p' }].map((o, i) => pc.createDataChannel('k' + i, o));`);
    const echoes = await page.evaluate(`(async () => {
      const echoes = [];
      for (const channel of kinds) {
        await opened(channel);
        const answer = new Promise((resolve) => channel.addEventListener('message', (e) => resolve(e.data)));
        channel.send(channel.label);
        echoes.push(await answer);
        const end = ended(channel);
        if (echoes.length % 2) channel.close(); else channel.send('close me');
        await end;
      }
      return echoes;
    })()`);
    expect(echoes).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6']);
  });

  it('1,000 channels opened and closed, in turn and at once, use their ids again', async () => {
    await connect(`window.first = pc.createDataChannel('first');`);
    const highest = await page.evaluate(`(async () => {
      await opened(first);
      let highest = 0;
      for (let i = 0; i < 500; i++) {
        const channel = pc.createDataChannel('turn ' + i);
        await opened(channel);
        highest = Math.max(highest, channel.id);
        const end = ended(channel);
        if (i % 2) channel.close(); else channel.send('close me');
        await end;
      }
      const many = Array.from({ length: 500 }, (_, i) => pc.createDataChannel('many ' + i));
      await Promise.all(many.map(opened));
      const ends = many.map(ended);
      many.forEach((channel, i) => (i % 2 ? channel.close() : channel.send('close me')));
      await Promise.all(ends);
      return highest;
    })()`);
    expect(highest).toBeLessThan(10);
  });

  it('100 MiB each way at once arrive whole and in order, in messages of up to 262,144 bytes', {
    timeout: 150_000,
  }, async () => {
    await connect(`window.bulk = pc.createDataChannel('bulk', { negotiated: true, id: 10 }); ${BULK}`);
    const channel = node.createDataChannel('bulk', { negotiated: true, id: 10 });
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = BULK_LOW_BYTES;
    await new Promise<void>((resolve) => {
      if (channel.readyState === 'open') resolve();
      channel.addEventListener('open', () => resolve());
    });
    const received = { bytes: 0, hash: 0x811c9dc5 };
    const arrived = new Promise<void>((resolve) => {
      channel.addEventListener('message', ({ data }) => {
        const bytes = new Uint8Array(data as ArrayBuffer);
        received.hash = fnv(received.hash, bytes);
        received.bytes += bytes.length;
        if (received.bytes >= BULK_BYTES) resolve();
      });
    });
    const inThePage = page.evaluate('runBulk(bulk)');
    let sentHash = 0x811c9dc5;
    for (let sent = 0, i = 0; sent < BULK_BYTES; i++) {
      const bytes = bulkMessage(i, Math.min(BULK_SIZES[i % BULK_SIZES.length]!, BULK_BYTES - sent));
      sentHash = fnv(sentHash, bytes);
      sent += bytes.length;
      if (channel.bufferedAmount > BULK_HIGH_BYTES)
        await new Promise((resolve) => channel.addEventListener('bufferedamountlow', resolve, { once: true }));
      channel.send(bytes);
    }
    await arrived;
    expect(await inThePage).toEqual({ bytes: BULK_BYTES, hash: sentHash });
    expect(received).toEqual({ bytes: BULK_BYTES, hash: sentHash }); // the page sends the same bytes
  });

  it.each(['balanced', 'max-bundle'] as const)(
    'data works beside audio and video that we do not take: %s',
    async (policy) => {
      await connect(
        `pc.addTransceiver('audio'); pc.addTransceiver('video'); window.channel = pc.createDataChannel('x');`,
        policy,
      );
      const echo = await page.evaluate(`(async () => {
      await opened(channel);
      const answer = new Promise((resolve) => channel.addEventListener('message', (e) => resolve(e.data)));
      channel.send('hello');
      return await answer;
    })()`);
      expect(echo).toBe('hello');
    },
  );
});
