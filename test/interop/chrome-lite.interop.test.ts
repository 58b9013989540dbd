import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK, once } from '../e2e/support.ts';
import { type Description, gathered } from '../peer-connection/descriptions.ts';
import { useChromium } from './chrome.ts';

const withoutLite = ({ type, sdp }: Description): Description => ({ type, sdp: sdp.replace(/a=ice-lite\r\n/g, '') });
const asTold = (description: Description): Description => description;

/** RFC 8445 §6.1.1: the full agent controls, whoever offers, and also one that has not been told of `a=ice-lite`. */
describe('an ICE lite peer and Chromium', () => {
  const chromium = useChromium();
  let page: Page;
  let node: RTCPeerConnection;

  beforeEach(async () => {
    page = await chromium.openPage();
    await page.evaluate(`
      window.pc = new RTCPeerConnection();
      window.described = () => gathered(pc).then(() => pc.localDescription.toJSON());
      window.channel = pc.createDataChannel('lite', { negotiated: true, id: 0 });
      channel.onmessage = ({ data }) => channel.send(data + ' back');
      undefined`);
    node = new RTCPeerConnection({ ...LOOPBACK, purertc: { ...LOOPBACK.purertc, ice: { lite: true } } });
  });
  afterEach(() => node.close());

  it.each([
    { who: 'the lite one', signalled: 'told', change: asTold },
    { who: 'the lite one', signalled: 'not told', change: withoutLite },
    { who: 'Chromium', signalled: 'told', change: asTold },
    { who: 'Chromium', signalled: 'not told', change: withoutLite },
  ])('$who offers, Chromium is $signalled', async ({ who, change }) => {
    const channel = node.createDataChannel('lite', { negotiated: true, id: 0 });
    const echo = once(channel, 'message');
    channel.addEventListener('open', () => channel.send('there'));
    if (who === 'Chromium') {
      await node.setRemoteDescription(await page.evaluate<Description>('pc.setLocalDescription().then(described)'));
      await node.setLocalDescription();
      await page.evaluate(`pc.setRemoteDescription(${JSON.stringify(change(await gathered(node)))})`);
    } else {
      await node.setLocalDescription();
      const offer = JSON.stringify(change(await gathered(node)));
      const answer = `pc.setRemoteDescription(${offer}).then(() => pc.setLocalDescription()).then(described)`;
      await node.setRemoteDescription(await page.evaluate<Description>(answer));
    }
    expect(await echo).toMatchObject({ data: 'there back' });
    expect(node.sctp?.transport.iceTransport.role).toBe('controlled');
    const role = `pc.getStats().then((report) => [...report.values()].find(({ type }) => type === 'transport').iceRole)`;
    expect(await page.evaluate(role)).toBe('controlling');
    await expect.poll(async () => nominated(await node.getStats())).toBe(true);
  });
});

function nominated(report: ReadonlyMap<string, unknown>): boolean {
  const entries = [...report.values()];
  return entries.some((s) => typeof s === 'object' && s !== null && 'nominated' in s && s.nominated === true);
}
