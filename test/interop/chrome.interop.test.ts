import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK } from '../e2e/support.ts';
import { type Description, gathered } from '../peer-connection/descriptions.ts';
import { type Checksum, checksum, payload, useChromium } from './chrome.ts';

type DataChannel = ReturnType<RTCPeerConnection['createDataChannel']>;

const SIZES: readonly number[] = [0, 1, 1200, 16_384, 65_535, 262_144];

/** The two sides of a description exchange, so that each test can be written once for both offerers. */
interface Side {
  offer(): Promise<Description>;
  answer(offer: Description): Promise<Description>;
  accept(answer: Description): Promise<void>;
}

const swap = (description: Description, from: RegExp, to: string): Description => {
  if (!from.test(description.sdp)) throw new Error(`${from} is not in:\n${description.sdp}`);
  return { type: description.type, sdp: description.sdp.replace(from, to) };
};

describe('Chromium', () => {
  const chromium = useChromium();
  let page: Page;
  let node: RTCPeerConnection;

  beforeEach(async () => {
    page = await chromium.openPage();
    await page.evaluate('window.pc = new RTCPeerConnection(); undefined');
    node = new RTCPeerConnection(LOOPBACK);
  });
  afterEach(() => node.close());

  const nodeSide: Side = {
    offer: async () => {
      await node.setLocalDescription(await node.createOffer());
      return gathered(node);
    },
    answer: async (offer) => {
      await node.setRemoteDescription(offer);
      await node.setLocalDescription(await node.createAnswer());
      return gathered(node);
    },
    accept: (answer) => node.setRemoteDescription(answer),
  };
  const chromeSide: Side = {
    offer: () =>
      evaluate<Description>(`(async () => {
      await pc.setLocalDescription(await pc.createOffer());
      await gathered(pc);
      return pc.localDescription.toJSON();
    })()`),
    answer: (offer) =>
      evaluate<Description>(`(async () => {
      await pc.setRemoteDescription(${JSON.stringify(offer)});
      await pc.setLocalDescription(await pc.createAnswer());
      await gathered(pc);
      return pc.localDescription.toJSON();
    })()`),
    accept: (answer) => evaluate<void>(`pc.setRemoteDescription(${JSON.stringify(answer)})`),
  };

  /** Runs text in the page: its types are Chromium's, not the project's. */
  function evaluate<T>(script: string): Promise<T> {
    return page.evaluate<T>(script);
  }

  const roles = [
    { offerer: 'Chromium', nodeIs: 'client', tamper: undefined },
    { offerer: 'Chromium', nodeIs: 'server', tamper: 'offer active' },
    { offerer: 'purertc', nodeIs: 'server', tamper: undefined },
    { offerer: 'purertc', nodeIs: 'client', tamper: 'offer active' },
  ] as const;

  describe.each(roles)('$offerer offers, purertc is DTLS $nodeIs', ({ offerer, nodeIs, tamper }) => {
    /** Connects with a channel made by the offerer, echoing on the answerer's end. */
    async function connect(): Promise<void> {
      const [from, to] = offerer === 'Chromium' ? [chromeSide, nodeSide] : [nodeSide, chromeSide];
      let offer = await from.offer();
      // RFC 8842 §5.3: an offer of `active` leaves the answerer `passive`, so the DTLS roles turn round.
      if (tamper === 'offer active') offer = swap(offer, /a=setup:actpass/, 'a=setup:active');
      await from.accept(await to.answer(offer));
    }

    it('a channel echoes text and binary of every size, made by the offerer and by the answerer', async () => {
      const fromChrome = nextChannel(node);
      const fromNode = evaluate<void>(`new Promise((resolve) => {
        pc.addEventListener('datachannel', ({ channel }) => { if (channel.label === 'from-node') { echo(channel); resolve(); } });
      })`);
      await evaluate(`window.channel = pc.createDataChannel('from-chromium', { protocol: 'échange' }); undefined`);
      const channel = node.createDataChannel('from-node');
      await connect();

      const incoming = await fromChrome;
      expect([incoming.label, incoming.protocol]).toEqual(['from-chromium', 'échange']);
      echo(incoming);
      const chromeResults = await evaluate<{ sent: Checksum; received: Checksum }[]>(
        `opened(channel).then(() => exchange(channel, ${JSON.stringify(SIZES)}))`,
      );
      expect(chromeResults).toHaveLength(2 * SIZES.length);
      for (const { sent, received } of chromeResults) expect(received).toEqual(sent);

      await fromNode;
      await opened(channel);
      for (const kind of ['text', 'binary'] as const) {
        for (const length of SIZES) {
          const data = payload(kind, length);
          const answer = nextMessage(channel);
          if (typeof data === 'string') channel.send(data);
          else channel.send(data);
          expect(checksum(await answer)).toEqual(checksum(data));
        }
      }
      expect(node.sctp?.transport.state).toBe('connected');
      const chromeRole = await evaluate<string>(
        `pc.getStats().then((stats) => [...stats.values()].find((s) => s.type === 'transport').dtlsRole)`,
      );
      expect(chromeRole).toBe(nodeIs === 'client' ? 'server' : 'client');
    });
  });

  it('trickles candidates both ways', async () => {
    await page.exposeFunction('candidateToNode', (candidate: unknown) =>
      node.addIceCandidate(candidate as Parameters<RTCPeerConnection['addIceCandidate']>[0]),
    );
    await evaluate(
      `pc.addEventListener('icecandidate', ({ candidate }) => candidateToNode(candidate && candidate.toJSON())); undefined`,
    );
    node.addEventListener('icecandidate', (event) => {
      const { candidate } = event;
      if (candidate !== null) void evaluate(`pc.addIceCandidate(${JSON.stringify(candidate.toJSON())})`);
    });
    const channel = node.createDataChannel('trickled');
    await node.setLocalDescription();
    const answer = await evaluate<Description>(`(async () => {
      await pc.setRemoteDescription(${JSON.stringify(node.localDescription)});
      await pc.setLocalDescription();
      return { type: 'answer', sdp: pc.localDescription.sdp.replace(/a=candidate.*\\r\\n/g, '') };
    })()`);
    await node.setRemoteDescription(answer);
    await opened(channel);
    expect(channel.readyState).toBe('open');
  });

  it('negotiated, unordered and partially reliable channels carry messages', async () => {
    const options = [
      { negotiated: true, id: 7 },
      { negotiated: true, id: 8, ordered: false },
      { negotiated: true, id: 9, ordered: false, maxRetransmits: 3 },
      { negotiated: true, id: 10, maxPacketLifeTime: 500 },
    ];
    const channels = options.map((option) => node.createDataChannel(`n${option.id}`, option));
    await evaluate(`for (const o of ${JSON.stringify(options)}) echo(pc.createDataChannel('n' + o.id, o))`);
    await chromeSide.accept(await nodeSide.answer(await chromeSide.offer()));
    for (const channel of channels) {
      await opened(channel);
      const answer = nextMessage(channel);
      channel.send(`over ${channel.label}`);
      expect(await answer).toBe(`over ${channel.label}`);
    }
  });

  it('closing a channel, and then the connection, is seen by the other side', async () => {
    await evaluate(`window.channelClosed = new Promise((resolve) => {
      window.channel = pc.createDataChannel('short');
      channel.addEventListener('close', resolve);
    }); undefined`);
    const incoming = nextChannel(node);
    const other = node.createDataChannel('stays');
    await chromeSide.accept(await nodeSide.answer(await chromeSide.offer()));
    const short = await incoming;
    await evaluate('opened(channel)');
    await opened(other);
    short.close();
    await evaluate('channelClosed.then(() => undefined)');
    const closed = new Promise((resolve) => other.addEventListener('close', resolve));
    await evaluate('pc.close()');
    await closed;
    expect(other.readyState).toBe('closed');
  });

  it.each(['Chromium verifies', 'purertc verifies'])('a wrong fingerprint never opens a channel: %s', async (who) => {
    const forge = (description: Description): Description =>
      swap(description, /a=fingerprint:sha-256 [0-9A-F]{2}:[0-9A-F]{2}/, 'a=fingerprint:sha-256 00:00');
    const channel = node.createDataChannel('never');
    let nodeOpened = false;
    channel.addEventListener('open', () => {
      nodeOpened = true;
    });
    await evaluate(`window.chromeOpened = false; pc.addEventListener('datachannel', () => { chromeOpened = true; });
      window.failed = new Promise((resolve) => {
        pc.addEventListener('connectionstatechange', () => { if (['failed', 'closed'].includes(pc.connectionState)) resolve(pc.connectionState); });
      }); undefined`);
    const nodeFailed = new Promise((resolve) => {
      node.addEventListener('connectionstatechange', () => {
        if (node.connectionState === 'failed') resolve('failed');
      });
    });
    const offer = await nodeSide.offer();
    const answer = await chromeSide.answer(who === 'Chromium verifies' ? forge(offer) : offer);
    await nodeSide.accept(who === 'purertc verifies' ? forge(answer) : answer);
    expect(await nodeFailed).toBe('failed');
    expect(await evaluate('failed')).toBe('failed');
    expect(nodeOpened).toBe(false);
    expect(await evaluate('chromeOpened')).toBe(false);
  });
});

function nextChannel(pc: RTCPeerConnection): Promise<DataChannel> {
  return new Promise((resolve) => {
    pc.addEventListener('datachannel', (event) => resolve(event.channel), {
      once: true,
    });
  });
}

function opened(channel: DataChannel): Promise<void> {
  return new Promise((resolve, reject) => {
    if (channel.readyState === 'open') resolve();
    channel.addEventListener('open', () => resolve());
    channel.addEventListener('close', () => reject(new Error(`${channel.label} closed before it opened`)));
  });
}

function nextMessage(channel: DataChannel): Promise<string | ArrayBuffer> {
  channel.binaryType = 'arraybuffer';
  return new Promise((resolve) => {
    channel.addEventListener('message', (event) => resolve(event.data as string | ArrayBuffer), {
      once: true,
    });
  });
}

function echo(channel: DataChannel): void {
  channel.binaryType = 'arraybuffer';
  channel.addEventListener('message', (event) => {
    const data = event.data as string | ArrayBuffer;
    if (typeof data === 'string') channel.send(data);
    else channel.send(data);
  });
}
