/** A call that moves to another peer: an ICE restart with another certificate (RFC 9429 §5.11), both ways with Chromium. */
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RTCDataChannel, RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK, once, untilState } from '../e2e/support.ts';
import { gathered } from '../peer-connection/descriptions.ts';
import { useChromium } from './chrome.ts';

describe('a call that is handed over', () => {
  const chromium = useChromium();
  let page: Page;
  const nodes: RTCPeerConnection[] = [];

  beforeEach(async () => {
    page = await chromium.openPage();
  });
  afterEach(() => {
    for (const node of nodes.splice(0)) node.close();
  });

  function peer(): RTCPeerConnection {
    const node = new RTCPeerConnection(LOOPBACK);
    nodes.push(node);
    return node;
  }

  /** The connection `name` of the page offers, with all candidates; `node` answers. */
  async function pageOffers(name: string, node: RTCPeerConnection, options = '{}'): Promise<void> {
    const sdp = await page.evaluate<string>(
      `${name}.createOffer(${options}).then((o) => ${name}.setLocalDescription(o)).then(() => gathered(${name})).then(() => ${name}.localDescription.sdp)`,
    );
    await node.setRemoteDescription({ type: 'offer', sdp });
    await node.setLocalDescription();
    const answer = JSON.stringify(await gathered(node));
    await page.evaluate(`${name}.setRemoteDescription(${answer})`);
  }

  async function nodeOffers(node: RTCPeerConnection, name: string, iceRestart: boolean): Promise<void> {
    await node.setLocalDescription(await node.createOffer({ iceRestart }));
    const offer = JSON.stringify(await gathered(node));
    const sdp = await page.evaluate<string>(
      `${name}.setRemoteDescription(${offer}).then(() => ${name}.setLocalDescription()).then(() => gathered(${name})).then(() => ${name}.localDescription.sdp)`,
    );
    await node.setRemoteDescription({ type: 'answer', sdp });
  }

  const announced = (node: RTCPeerConnection) => once<Event & { channel: RTCDataChannel }>(node, 'datachannel');

  it('by Chromium, from one of ours to another', async () => {
    const [first, second] = [peer(), peer()];
    await page.evaluate(`window.pc = new RTCPeerConnection(); window.channel = pc.createDataChannel('x'); 0`);
    const arrived = announced(first);
    await pageOffers('pc', first);
    await untilState((await arrived).channel, 'open');
    await page.evaluate(`window.theirs = new Promise((resolve) => {
      pc.ondatachannel = ({ channel }) => { echo(channel); resolve(channel.label); };
    }); 0`);
    await pageOffers('pc', second, '{ iceRestart: true }');
    const back = second.createDataChannel('back');
    expect(await page.evaluate('theirs')).toBe('back');
    await untilState(back, 'open');
    const answer = once<MessageEvent>(back, 'message');
    back.send('hello again');
    expect((await answer).data).toBe('hello again');
  });

  it('by one of ours, from one connection of Chromium to another', async () => {
    const node = peer();
    const channel = node.createDataChannel('x');
    const make = (name: string): Promise<unknown> =>
      page.evaluate(
        `window.${name} = new RTCPeerConnection(); ${name}.ondatachannel = ({ channel }) => echo(channel); 0`,
      );
    await make('one');
    await nodeOffers(node, 'one', false);
    await untilState(channel, 'open');
    const closed = once(channel, 'close');
    await make('two');
    const connected = once(node, 'connectionstatechange');
    await nodeOffers(node, 'two', true);
    await connected;
    await closed; // the other Chromium has restarted SCTP
    const again = node.createDataChannel('again');
    await untilState(again, 'open');
    const answer = once<MessageEvent>(again, 'message');
    again.send('hello again');
    expect((await answer).data).toBe('hello again');
  });
});
