import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type RTCConfiguration, RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK } from '../e2e/support.ts';
import { gathered } from '../peer-connection/descriptions.ts';
import { COTURN_USER, Coturn, turnUrl } from './coturn.ts';
import { Credentials } from './dtls-peers.ts';

const SIZE = 262_144;

/** What is left of a description when only these candidates get through. */
const only = (sdp: string, wanted: RegExp): string =>
  sdp.replace(/a=candidate:.*\r\n/g, (line) => (wanted.test(line) ? line : ''));

/** Between project peers: with Chromium as the peer without a relay no connection came about. */
describe('relayed TCP candidates on coturn (RFC 6062, RFC 6544 §5.5)', () => {
  const credentials = new Credentials();
  const peers: RTCPeerConnection[] = [];
  let coturn: Coturn;

  beforeAll(async () => {
    coturn = await Coturn.start(credentials);
  });
  afterAll(async () => {
    await coturn.stop();
    credentials.remove();
  });
  afterEach(() => {
    for (const pc of peers.splice(0)) pc.close();
  });

  function peer(purertc: RTCConfiguration['purertc'], iceServers: RTCConfiguration['iceServers'] = []) {
    const pc = new RTCPeerConnection({ iceServers, purertc: { ...LOOPBACK.purertc, iceTcp: ['active'], ...purertc } });
    peers.push(pc);
    return pc;
  }

  it.each(['tcp', 'tls'] as const)(
    'a peer without a relay connects to one that is reached over %s',
    async (transport) => {
      const { username, password: credential } = COTURN_USER;
      const urls = turnUrl(transport, coturn.address(transport, '127.0.0.1'));
      const relayed = peer({ tcpRelays: true, turn: { ca: [coturn.certificate] } }, [{ urls, username, credential }]);
      const bare = peer({});
      bare.ondatachannel = ({ channel }) => {
        channel.binaryType = 'arraybuffer';
        channel.onmessage = ({ data }) => channel.send(data as ArrayBuffer);
      };
      const channel = relayed.createDataChannel('tcp');
      channel.binaryType = 'arraybuffer';
      await relayed.setLocalDescription();
      const candidate = /1 tcp \d+ 127\.0\.0\.1 \d+ typ relay raddr 127\.0\.0\.1 rport \d+ tcptype passive/;
      const { sdp: offer } = await gathered(relayed);
      expect(offer).toMatch(candidate);
      await bare.setRemoteDescription({ type: 'offer', sdp: only(offer, candidate) });
      await bare.setLocalDescription();
      const { sdp: answer } = await gathered(bare);
      await relayed.setRemoteDescription({ type: 'answer', sdp: only(answer, /tcptype active/) });
      await new Promise((resolve) => channel.addEventListener('open', resolve));
      const sent = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) & 0xff);
      const echoed = new Promise<ArrayBuffer>((resolve) => {
        channel.onmessage = ({ data }) => resolve(data as ArrayBuffer);
      });
      channel.send(sent);
      expect(new Uint8Array(await echoed)).toEqual(sent);
      const pair = relayed.sctp?.transport.iceTransport.getSelectedCandidatePair();
      expect([pair?.local.type, pair?.local.protocol, pair?.local.relayProtocol]).toEqual(['relay', 'tcp', transport]);
    },
  );
});
