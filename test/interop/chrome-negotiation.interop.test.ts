import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection, type RTCStats } from '../../src/index.ts';
import { LOOPBACK } from '../e2e/support.ts';
import { useChromium } from './chrome.ts';

const GLARE_ROUNDS = 100;
const RENEGOTIATIONS = 20;

/** What travels between the two negotiators. */
interface Message {
  readonly description?: { readonly type: 'offer' | 'answer' | 'pranswer' | 'rollback'; readonly sdp: string } | null;
  readonly candidate?: unknown;
}

/**
 * W3C §10.7 "perfect negotiation", once, as text: it runs in the page and, made to a function, on this side too. `send`
 * passes a message on.
 */
const NEGOTIATOR = `
  (pc, polite, send) => {
    const log = { errors: [], collisions: 0 };
    let makingOffer = false, ignoreOffer = false, settingAnswer = false;
    pc.onicecandidate = ({ candidate }) => send({ candidate });
    pc.onnegotiationneeded = async () => {
      try {
        makingOffer = true;
        await pc.setLocalDescription();
        send({ description: pc.localDescription });
      } catch (error) {
        log.errors.push(String(error));
      } finally {
        makingOffer = false;
      }
    };
    const receive = async ({ description, candidate }) => {
      try {
        if (description) {
          const ready = !makingOffer && (pc.signalingState === 'stable' || settingAnswer);
          const collision = description.type === 'offer' && !ready;
          if (collision) log.collisions++;
          ignoreOffer = !polite && collision;
          if (ignoreOffer) return;
          settingAnswer = description.type === 'answer';
          await pc.setRemoteDescription(description);
          settingAnswer = false;
          if (description.type === 'offer') {
            await pc.setLocalDescription();
            send({ description: pc.localDescription });
          }
        } else {
          // As it is now: the answer that follows within the same millisecond ends the ignoring.
          const ignored = ignoreOffer;
          await pc.addIceCandidate(candidate ?? undefined).catch((error) => {
            if (!ignored) throw error;
          });
        }
      } catch (error) {
        if (pc.signalingState !== 'closed') log.errors.push(String(error));
      }
    };
    return { log, receive };
  }
`;

interface Negotiator {
  readonly log: { readonly errors: string[]; readonly collisions: number };
  receive(message: Message): Promise<void>;
}

describe('negotiating with Chromium', () => {
  const chromium = useChromium();
  let page: Page;
  let node: RTCPeerConnection;
  let negotiator: Negotiator;

  beforeEach(async () => {
    page = await chromium.openPage();
    await page.exposeFunction('toNode', (message: Message) => void negotiator.receive(message));
    await page.evaluate(`window.makeNegotiator = ${NEGOTIATOR}; undefined`);
    node = new RTCPeerConnection(LOOPBACK);
  });
  afterEach(() => node.close());

  function evaluate<T>(script: string): Promise<T> {
    return page.evaluate<T>(script);
  }

  /** Joins `node` and a new connection of the page by perfect negotiation. */
  async function join(nodeIsPolite: boolean): Promise<void> {
    const make: unknown = new Function(`return ${NEGOTIATOR.trim()}`)();
    if (typeof make !== 'function') throw new Error('the negotiator is no function');
    negotiator = make(node, nodeIsPolite, (message: Message) => {
      const text = JSON.stringify(message);
      void page.evaluate(`window.negotiator.receive(${text}); undefined`).catch(() => undefined);
    });
    await evaluate(`(() => {
      window.pc = new RTCPeerConnection();
      const clone = (message) => JSON.parse(JSON.stringify(message));
      window.negotiator = makeNegotiator(pc, ${!nodeIsPolite}, (message) => toNode(clone(message)));
    })()`);
  }

  const opened = (channel: ReturnType<RTCPeerConnection['createDataChannel']>) =>
    new Promise<void>((resolve) => {
      if (channel.readyState === 'open') resolve();
      channel.addEventListener('open', () => resolve());
    });

  it(`both offer at once, ${GLARE_ROUNDS} times, taking turns in being polite`, async () => {
    let collisions = 0;
    for (let round = 0; round < GLARE_ROUNDS; round++) {
      await join(round % 2 === 0);
      const ours = node.createDataChannel('ours');
      const theirs = evaluate<void>(`opened(window.theirs = pc.createDataChannel('theirs'))`);
      await Promise.all([opened(ours), theirs]);
      const log = await evaluate<Negotiator['log']>('negotiator.log');
      expect([negotiator.log.errors, log.errors]).toEqual([[], []]);
      collisions += negotiator.log.collisions + log.collisions;
      node.close();
      await evaluate('pc.close(); undefined');
      node = new RTCPeerConnection(LOOPBACK);
    }
    expect(collisions).toBeGreaterThan(GLARE_ROUNDS / 4);
  });

  it(`${RENEGOTIATIONS} exchanges from alternating sides, each with a new channel and an ICE restart`, async () => {
    await join(true);
    const first = node.createDataChannel('first');
    await opened(first);
    const ufrags = new Set<string>();
    for (let i = 0; i < RENEGOTIATIONS; i++) {
      const stable = new Promise<void>((resolve) => {
        node.onsignalingstatechange = () => {
          if (node.signalingState === 'stable') resolve();
        };
      });
      if (i % 2 === 0) {
        node.restartIce();
        await Promise.all([stable, opened(node.createDataChannel(`channel ${i}`))]);
      } else {
        await evaluate(`pc.restartIce(); opened(pc.createDataChannel('channel ${i}'))`);
        await stable;
      }
      // All candidates of this generation are here before the next begins: one that came later would be nobody's.
      await expect.poll(() => node.currentRemoteDescription?.sdp, { timeout: 10_000 }).toContain('a=end-of-candidates');
      ufrags.add(/a=ice-ufrag:(.*)/.exec(node.currentLocalDescription?.sdp ?? '')?.[1] ?? '');
    }
    expect(ufrags.size).toBe(RENEGOTIATIONS);
    expect(first.readyState).toBe('open');
    expect(node.localDescription?.sdp.match(/^m=/gm)).toHaveLength(1);
    const log = await evaluate<Negotiator['log']>('negotiator.log');
    expect([negotiator.log.errors, log.errors]).toEqual([[], []]);
    await expect.poll(() => node.connectionState).toBe('connected');
    expect(await evaluate('pc.connectionState')).toBe('connected');
  });

  it('offers can be rolled back on both sides, and the connection lives on', async () => {
    await join(true);
    const channel = node.createDataChannel('x');
    await opened(channel);
    node.onnegotiationneeded = null;
    await node.setLocalDescription(await node.createOffer({ iceRestart: true }));
    const offer = JSON.stringify(node.localDescription);
    await evaluate(`pc.setRemoteDescription(${offer}).then(() => pc.setLocalDescription({ type: 'rollback' }))`);
    await node.setLocalDescription({ type: 'rollback' });
    const theirs = await evaluate<{ type: 'offer'; sdp: string }>(
      `pc.createOffer().then((offer) => pc.setLocalDescription(offer)).then(() => pc.localDescription.toJSON())`,
    );
    await node.setRemoteDescription(theirs);
    await node.setRemoteDescription({ type: 'rollback', sdp: '' });
    await evaluate(`pc.setLocalDescription({ type: 'rollback' })`);
    expect([node.signalingState, await evaluate('pc.signalingState')]).toEqual(['stable', 'stable']);
    await opened(node.createDataChannel('after'));
    expect(node.connectionState).toBe('connected');
  });

  it('getStats has what Chromium has for the same connection', async () => {
    await join(true);
    const channel = node.createDataChannel('x');
    await opened(channel);
    const getTheirs = () => evaluate<RTCStats[]>('pc.getStats().then((report) => [...report.values()])');
    // Chromium gives out a report again for a while: one from before the channel would lack it.
    await expect.poll(async () => (await getTheirs()).map(({ type }) => type)).toContain('data-channel');
    const theirs = await getTheirs();
    const ours = [...(await node.getStats()).values()];
    /** Members of Chromium's that say nothing here: networks of a browser, media, and names that the W3C has dropped. */
    const browsersOwn = new Set([
      'isRemote',
      'networkType',
      'networkAdapterType',
      'vpn',
      'writable',
      'priority',
      'rtt',
      'availableOutgoingBitrate',
      'packetsDiscardedOnSend',
      'bytesDiscardedOnSend',
      'ccfbMessagesSent',
      'ccfbMessagesReceived',
    ]);
    for (const type of [
      'peer-connection',
      'data-channel',
      'transport',
      'certificate',
      'candidate-pair',
      'local-candidate',
      'remote-candidate',
    ] as const) {
      const [reference] = theirs.filter((stats) => stats.type === type);
      const mine = ours.filter((stats) => stats.type === type);
      expect(mine.length, type).toBeGreaterThan(0);
      const members = new Set(mine.flatMap((stats) => Object.keys(stats)));
      const missing = Object.keys(reference ?? {}).filter((key) => !members.has(key) && !browsersOwn.has(key));
      expect([type, missing]).toEqual([type, []]);
      // Members of the same name have the same kind of value.
      for (const [key, value] of Object.entries(reference ?? {})) {
        const own = mine.find((stats) => stats[key] !== undefined)?.[key];
        if (own !== undefined) expect([type, key, typeof own]).toEqual([type, key, typeof value]);
      }
    }
    const transport = (list: readonly RTCStats[]) => list.find((stats) => stats.type === 'transport');
    for (const key of ['tlsVersion', 'dtlsCipher', 'dtlsState'])
      expect(transport(ours)?.[key]).toEqual(transport(theirs)?.[key]);
    expect([transport(ours)?.['dtlsRole'], transport(theirs)?.['dtlsRole']].sort()).toEqual(['client', 'server']);
  });

  it('close() on one side is seen on the other', async () => {
    await join(true);
    const channel = node.createDataChannel('x');
    await opened(channel);
    const closed = new Promise((resolve) => channel.addEventListener('close', resolve));
    await evaluate('pc.close(); undefined');
    await closed;
    expect(channel.readyState).toBe('closed');
    await expect.poll(() => node.sctp?.transport.state).toBe('closed');
  });
});
