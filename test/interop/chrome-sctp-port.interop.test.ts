/** SCTP ports other than 5000 (RFC 8841 §5), with Chromium. */
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK, once, untilState } from '../e2e/support.ts';
import { gathered } from '../peer-connection/descriptions.ts';
import { useChromium } from './chrome.ts';

const withPort = (sdp: string, port: number): string => sdp.replace(/a=sctp-port:\d+/, `a=sctp-port:${port}`);

describe('another SCTP port', () => {
  const chromium = useChromium();
  let page: Page;
  let node: RTCPeerConnection;

  beforeEach(async () => {
    page = await chromium.openPage();
    await page.evaluate(
      `window.pc = new RTCPeerConnection(); pc.ondatachannel = ({ channel }) => { window.channel = channel; echo(channel); }; 0`,
    );
    node = new RTCPeerConnection(LOOPBACK);
  });
  afterEach(() => node.close());

  async function exchange(port: number): Promise<void> {
    const { sdp = '' } = await node.createOffer();
    await node.setLocalDescription({ type: 'offer', sdp: withPort(sdp, port) });
    const offer = JSON.stringify(await gathered(node));
    const answer = await page.evaluate<string>(
      `pc.setRemoteDescription(${offer}).then(() => pc.setLocalDescription()).then(() => gathered(pc)).then(() => pc.localDescription.sdp)`,
    );
    await node.setRemoteDescription({ type: 'answer', sdp: answer });
  }

  it('of ours from the beginning: 6000 here and 5000 there', async () => {
    const channel = node.createDataChannel('x');
    await exchange(6000);
    await untilState(channel, 'open');
    const answer = once<MessageEvent>(channel, 'message');
    channel.send('hello');
    expect((await answer).data).toBe('hello');
    expect(node.localDescription?.sdp).toContain('a=sctp-port:6000');
    expect(node.remoteDescription?.sdp).toContain('a=sctp-port:5000');
  });

  it('later on is refused by Chromium; after a rollback the connection lives on', async () => {
    const channel = node.createDataChannel('x');
    await exchange(5000);
    await untilState(channel, 'open');
    await expect(exchange(5001)).rejects.toThrow('Failed to start SCTP transport');
    await node.setLocalDescription({ type: 'rollback' });
    const answer = once<MessageEvent>(channel, 'message');
    channel.send('hello');
    expect((await answer).data).toBe('hello');
  });
});
