import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Description } from '../peer-connection/descriptions.ts';
import { Lab, type LabPeer } from './netns.ts';

const NAME = /a=candidate:\S+ 1 udp \d+ [0-9a-f-]{36}\.local \d+ typ host/;

/** The other side then has to find the way by itself: only its own resolving of names can lead to a connection. */
const withoutCandidates = ({ type, sdp }: Description): Description => ({
  type,
  sdp: sdp.replace(/a=(?:candidate:.*|end-of-candidates)\r\n/g, ''),
});

/**
 * Chromium as people run it, with no flag that reveals addresses, in one network namespace and a project peer in another:
 * multicast DNS goes over the link between them, and nowhere else.
 */
describe('mDNS candidates with Chromium', () => {
  let lab: Lab;
  let browser: Browser;
  let page: Page;
  let node: LabPeer;

  beforeAll(async () => {
    lab = Lab.onOneLink();
    browser = await chromium.launch({
      executablePath: lab.wrapper('a', 'chromium'),
      args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await lab.remove();
  });
  beforeEach(async () => {
    page = await browser.newPage();
    // Nothing listens in that namespace: the page comes from here.
    await page.route('**/*', (route) => route.fulfill({ contentType: 'text/html', body: '<title>mdns</title>' }));
    await page.goto('http://purertc.test/');
    await page.evaluate(`
      window.pc = new RTCPeerConnection();
      window.gathered = () => new Promise((resolve) => {
        const check = () => { if (pc.iceGatheringState === 'complete') resolve(pc.localDescription.toJSON()); };
        pc.addEventListener('icegatheringstatechange', check);
        check();
      });
      window.channel = pc.createDataChannel('mdns', { negotiated: true, id: 0 });
      channel.onmessage = ({ data }) => channel.send(data + ' back');
      undefined`);
  });
  afterEach(async () => {
    await page.close();
    expect(await node.leave()).toBe(0);
  });

  it('the names that Chromium writes are resolved: our checks find it', async () => {
    node = await lab.peer('b');
    const offer = await page.evaluate<Description>('pc.setLocalDescription().then(gathered)');
    expect(offer.sdp).toMatch(NAME);
    expect(offer.sdp).not.toContain('10.0.0.1');
    await node.call('negotiated');
    const answer = await node.call<Description>('answer', offer);
    await page.evaluate(`pc.setRemoteDescription(${JSON.stringify(withoutCandidates(answer))})`);
    await node.call('open');
    expect(await node.call('say', 'hello')).toBe('hello back');
    expect(await node.call('pair')).toMatchObject({ remote: { type: 'host', address: '10.0.0.1', protocol: 'udp' } });
  });

  it('our own host candidates hide behind names that Chromium resolves', async () => {
    node = await lab.peer('b', { purertc: { mdns: true } });
    await node.call('negotiated');
    const offer = await node.call<Description>('offer');
    expect(offer.sdp).toMatch(NAME);
    expect(offer.sdp).not.toContain('10.0.0.2');
    const answer = await page.evaluate<Description>(
      `pc.setRemoteDescription(${JSON.stringify(offer)}).then(() => pc.setLocalDescription()).then(gathered)`,
    );
    await node.call('accept', withoutCandidates(answer));
    await node.call('open');
    expect(await node.call('say', 'hello')).toBe('hello back');
    expect(await node.call('pair')).toMatchObject({ remote: { type: 'prflx', address: '10.0.0.1' } });
  });
});
