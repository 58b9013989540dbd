import type { Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TurnServer } from '../../src/server/turn-server.ts';
import { type Description, gathered } from '../peer-connection/descriptions.ts';
import { type Checksum, useChromium } from './chrome.ts';
import { COTURN_USER, Coturn, turnUrl } from './coturn.ts';
import { Credentials } from './dtls-peers.ts';
import { echoAll, exchange, openedChannel, RelayedPeer } from './relayed-peers.ts';

const SIZES = [0, 1, 1200, 65_535, 200_000];
const CREDENTIAL = { username: COTURN_USER.username, credential: COTURN_USER.password };

/** A server's address for each transport. */
type Urls = Readonly<Record<'udp' | 'tcp', string>>;

describe('Chromium and purertc, both with iceTransportPolicy relay', () => {
  const chromium = useChromium();
  let page: Page;
  let coturn: Coturn;
  let server: TurnServer;
  const credentials = new Credentials();
  const urls = new Map<string, Urls>();

  beforeAll(async () => {
    coturn = await Coturn.start(credentials);
    server = new TurnServer({
      realm: 'example.org',
      users: { [COTURN_USER.username]: COTURN_USER.password },
      relayAddresses: ['127.0.0.1'],
      peers: { allowLoopback: true },
    });
    urls.set('coturn', {
      udp: turnUrl('udp', coturn.address('udp', '127.0.0.1')),
      tcp: turnUrl('tcp', coturn.address('tcp', '127.0.0.1')),
    });
    urls.set("the project's server", {
      udp: turnUrl('udp', await server.listen({ port: 0 })),
      tcp: turnUrl('tcp', await server.listen({ port: 0, transport: 'tcp' })),
    });
  });
  afterAll(async () => {
    server.close();
    await coturn.stop();
    credentials.remove();
  });
  beforeEach(async () => {
    page = await chromium.openPage();
  });

  const cases = ['coturn', "the project's server"].flatMap((through) =>
    (['udp', 'tcp'] as const).flatMap((transport) =>
      ['Chromium', 'purertc'].map((offerer) => ({ through, transport, offerer })),
    ),
  );

  it.each(cases)('through $through over $transport, $offerer offers', async ({ through, transport, offerer }) => {
    const url = urls.get(through)![transport];
    const peer = new RelayedPeer({ ...CREDENTIAL, url });
    const { pc } = peer;
    const evaluate = <T>(script: string): Promise<T> => page.evaluate<T>(script);
    const iceServers = [{ urls: url, ...CREDENTIAL }];
    await evaluate(`window.pc = new RTCPeerConnection(${JSON.stringify({ iceServers, iceTransportPolicy: 'relay' })});
      pc.addEventListener('datachannel', ({ channel }) => echo(channel)); undefined`);
    try {
      echoAll(pc);
      const channel = pc.createDataChannel('from-node');
      const opened = openedChannel(channel, () => JSON.stringify([peer.errors, pc.iceConnectionState]));
      await evaluate(`window.channel = pc.createDataChannel('from-chromium'); undefined`);
      if (offerer === 'Chromium') {
        const offer = await evaluate<Description>(describing('await pc.createOffer()'));
        await pc.setRemoteDescription(offer);
        await pc.setLocalDescription();
        const answer = await gathered(pc);
        await evaluate(`pc.setRemoteDescription(${JSON.stringify(answer)})`);
      } else {
        await pc.setLocalDescription();
        const offer = await gathered(pc);
        const answer = await evaluate<Description>(
          `pc.setRemoteDescription(${JSON.stringify(offer)}).then(() => ${describing('await pc.createAnswer()')})`,
        );
        await pc.setRemoteDescription(answer);
      }
      await opened;
      const messages = ['text', new Uint8Array(1200).fill(1), 'x'.repeat(65_535), new Uint8Array(200_000).fill(2)];
      expect(await exchange(channel, messages)).toEqual(messages);
      const results = await evaluate<{ sent: Checksum; received: Checksum }[]>(
        `opened(channel).then(() => exchange(channel, ${JSON.stringify(SIZES)}))`,
      );
      expect(results).toHaveLength(2 * SIZES.length);
      for (const { sent, received } of results) expect(received).toEqual(sent);
      const pair = pc.sctp?.transport.iceTransport.getSelectedCandidatePair();
      expect([pair?.local?.type, pair?.local?.relayProtocol, pair?.remote?.type]).toEqual([
        'relay',
        transport,
        'relay',
      ]);
      expect(await evaluate(SELECTED_LOCAL)).toEqual({ candidateType: 'relay', relayProtocol: transport });
    } finally {
      peer.close();
      await evaluate('pc.close()');
    }
  });
});

/** In the page: sets the local description, gathers, and returns it whole. */
function describing(create: string): string {
  return `(async () => {
    await pc.setLocalDescription(${create});
    await gathered(pc);
    return pc.localDescription.toJSON();
  })()`;
}

/** In the page: the local candidate of the pair that carries the data. */
const SELECTED_LOCAL = `pc.getStats().then((report) => {
  const transport = [...report.values()].find(({ type }) => type === 'transport');
  const { candidateType, relayProtocol } = report.get(report.get(transport.selectedCandidatePairId).localCandidateId);
  return { candidateType, relayProtocol };
})`;
