/** Every state of the three transports and of the connection above them, in the order in which a program sees them. */
import { afterEach, describe, expect, it } from 'vitest';
import { RTCIceCandidate, type RTCPeerConnection } from '../../src/index.ts';
import { negotiate, once, Pair, untilState } from './support.ts';

let pair: Pair | undefined;
afterEach(() => {
  pair?.close();
  pair = undefined;
});

/** All changes of state from now on; those of the transports once there are any. */
function record(
  pc: RTCPeerConnection,
): Record<'ice' | 'dtls' | 'sctp' | 'iceConnection' | 'connection' | 'gathering', string[]> {
  const log = { ice: [], dtls: [], sctp: [], iceConnection: [], connection: [], gathering: [] } as ReturnType<
    typeof record
  >;
  pc.addEventListener('iceconnectionstatechange', () => log.iceConnection.push(pc.iceConnectionState));
  pc.addEventListener('connectionstatechange', () => log.connection.push(pc.connectionState));
  pc.addEventListener('icegatheringstatechange', () => log.gathering.push(pc.iceGatheringState));
  pc.addEventListener(
    'signalingstatechange',
    () => {
      const sctp = pc.sctp!;
      const dtls = sctp.transport;
      const ice = dtls.iceTransport;
      log.sctp.push(sctp.state);
      log.dtls.push(dtls.state);
      log.ice.push(ice.state);
      sctp.addEventListener('statechange', () => log.sctp.push(sctp.state));
      dtls.addEventListener('statechange', () => log.dtls.push(dtls.state));
      ice.addEventListener('statechange', () => {
        log.ice.push(ice.state);
        expect(pc.iceConnectionState).toBe(ice.state); // both change in one task
      });
      ice.addEventListener('gatheringstatechange', () => expect(pc.iceGatheringState).toBe(ice.gatheringState));
    },
    { once: true },
  );
  return log;
}

describe('from nothing to connected to closed', () => {
  it('each state once, in order, on both sides; the transports are the same objects throughout', async () => {
    pair = new Pair();
    const [a, b] = [record(pair.a), record(pair.b)];
    const { a: here, b: there } = pair;
    const channel = here.createDataChannel('x');
    await negotiate(here, there);
    const { sctp } = here;
    const { transport } = sctp!;
    const { iceTransport } = transport;
    await untilState(channel, 'open');
    for (const pc of [here, there]) {
      if (pc.connectionState !== 'connected') await once(pc, 'connectionstatechange');
    }
    expect([here.sctp, here.sctp?.transport, here.sctp?.transport.iceTransport]).toEqual([
      sctp,
      transport,
      iceTransport,
    ]);
    expect(here.sctp).toBe(sctp);
    expect(iceTransport.getLocalCandidates?.().every((c) => c instanceof RTCIceCandidate)).toBe(true);
    expect(iceTransport.getRemoteCandidates?.().length).toBeGreaterThan(0);
    expect([iceTransport.role, there.sctp?.transport.iceTransport.role]).toEqual(['controlling', 'controlled']);
    for (const log of [a, b]) {
      expect(log.sctp).toEqual(['connecting', 'connected']);
      expect(log.dtls).toEqual(['new', 'connecting', 'connected']);
      expect(log.ice.slice(0, 3)).toEqual(['new', 'checking', 'connected']);
      expect(log.iceConnection).toEqual(log.ice.slice(1));
      expect(log.connection).toEqual(['connecting', 'connected']);
      expect(log.gathering).toEqual(['gathering', 'complete']);
    }
    const lengths = Object.values(a).map((states) => states.length);
    const gone = once(there.sctp!, 'statechange');
    here.close();
    expect([sctp?.state, transport.state, iceTransport.state]).toEqual(['closed', 'closed', 'closed']);
    expect([here.connectionState, here.iceConnectionState, here.signalingState]).toEqual([
      'closed',
      'closed',
      'closed',
    ]);
    await gone;
    expect(b.sctp.at(-1)).toBe('closed');
    await expect.poll(() => b.dtls.at(-1)).toBe('closed');
    expect(Object.values(a).map((states) => states.length)).toEqual(lengths); // close() fires nothing here
  });

  it('before an answer the transports are there and empty', async () => {
    pair = new Pair();
    const { a } = pair;
    a.createDataChannel('x');
    await a.setLocalDescription();
    const { sctp } = a;
    expect([sctp?.state, sctp?.maxChannels, sctp?.maxMessageSize]).toEqual(['connecting', null, 65_536]);
    expect([sctp?.transport.state, sctp?.transport.getRemoteCertificates()]).toEqual(['new', []]);
    const ice = sctp!.transport.iceTransport;
    expect([ice.state, ice.component, ice.getSelectedCandidatePair()]).toEqual(['new', 'rtp', null]);
    expect([ice.getRemoteCandidates?.(), ice.getRemoteParameters?.()]).toEqual([[], null]);
    expect(ice.getLocalParameters?.()).toEqual({
      usernameFragment: /a=ice-ufrag:(.*)\r/.exec(a.localDescription!.sdp)?.[1],
      password: /a=ice-pwd:(.*)\r/.exec(a.localDescription!.sdp)?.[1],
    });
  });
});

describe('maxMessageSize (W3C §6.1.1.2, RFC 8841 §6)', () => {
  it.each([
    ['a=max-message-size:1000\r\n', 1000],
    ['', 65_536],
    ['a=max-message-size:0\r\n', 16 * 1024 * 1024],
    ['a=max-message-size:4294967296\r\n', 16 * 1024 * 1024],
  ])('an offer with %j: %d; and a later one changes it', async (line, expected) => {
    pair = new Pair();
    const { a, b } = pair;
    a.createDataChannel('x');
    const edit = (sdp: string, with_: string): string => sdp.replace(/a=max-message-size:\d+\r\n/, with_);
    await negotiate(a, b, (sdp, type) => (type === 'offer' ? edit(sdp, line) : sdp));
    expect(b.sctp?.maxMessageSize).toBe(expected);
    await negotiate(a, b, (sdp, type) => (type === 'offer' ? edit(sdp, 'a=max-message-size:256\r\n') : sdp));
    expect(b.sctp?.maxMessageSize).toBe(256);
  });
});
