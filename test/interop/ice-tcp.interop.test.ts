import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK } from '../e2e/support.ts';
import { type Description, gathered, tcpOnly } from '../peer-connection/descriptions.ts';
import { useChromium } from './chrome.ts';

const SIZE = 262_144;

describe('TCP candidates with Chromium', () => {
  const chromium = useChromium();
  let page: Page;
  let node: RTCPeerConnection;

  beforeEach(async () => {
    page = await chromium.openPage();
    await page.evaluate(`
      window.pc = new RTCPeerConnection();
      window.channel = pc.createDataChannel('tcp', { negotiated: true, id: 0 });
      echo(channel);`);
    node = new RTCPeerConnection({ purertc: { ...LOOPBACK.purertc, iceTcp: true } });
  });
  afterEach(() => node.close());

  it.each(['Chromium', 'purertc'])('%s offers: its active candidate connects to our passive one', async (offerer) => {
    const channel = node.createDataChannel('tcp', { negotiated: true, id: 0 });
    channel.binaryType = 'arraybuffer';
    let ours: Description;
    if (offerer === 'Chromium') {
      const offer = await page.evaluate<Description>(
        'pc.setLocalDescription().then(() => gathered(pc)).then(() => pc.localDescription.toJSON())',
      );
      await node.setRemoteDescription(tcpOnly(offer));
      await node.setLocalDescription();
      ours = await gathered(node);
      await page.evaluate(`pc.setRemoteDescription(${JSON.stringify(tcpOnly(ours))})`);
    } else {
      await node.setLocalDescription();
      ours = await gathered(node);
      const answer = await page.evaluate<Description>(`(async () => {
        await pc.setRemoteDescription(${JSON.stringify(tcpOnly(ours))});
        await pc.setLocalDescription();
        await gathered(pc);
        return pc.localDescription.toJSON();
      })()`);
      await node.setRemoteDescription(tcpOnly(answer));
    }
    expect(ours.sdp).toMatch(/tcp \d+ 127\.0\.0\.1 [1-9]\d+ typ host tcptype passive/);
    await new Promise((resolve) => channel.addEventListener('open', resolve));
    const sent = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) & 0xff);
    const answer = new Promise<ArrayBuffer>((resolve) => {
      channel.onmessage = ({ data }) => resolve(data as ArrayBuffer);
    });
    channel.send(sent);
    expect(new Uint8Array(await answer)).toEqual(sent);

    const pair = node.sctp?.transport.iceTransport.getSelectedCandidatePair();
    expect([pair?.local.protocol, pair?.local.tcpType, pair?.remote.protocol]).toEqual(['tcp', 'passive', 'tcp']);
    const seenByChromium = await page.evaluate<string>(
      `pc.getStats().then((stats) => [...stats.values()].find((s) => s.type === 'local-candidate' && s.protocol === 'tcp').tcpType)`,
    );
    expect(seenByChromium).toBe('active');
  });
});
