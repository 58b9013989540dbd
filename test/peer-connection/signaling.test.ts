import { describe, expect, it } from 'vitest';
import { RTCError, type RTCPeerConnection, type RTCSdpType, type RTCSignalingState } from '../../src/index.ts';
import { useOfflineConnections } from './offline.ts';

const { make: connection, withChannel, offer: remoteOffer, answerTo: remoteAnswerTo } = useOfflineConnections();

const STATES = [
  'stable',
  'have-local-offer',
  'have-remote-offer',
  'have-local-pranswer',
  'have-remote-pranswer',
] as const;
const TYPES: readonly RTCSdpType[] = ['offer', 'pranswer', 'answer', 'rollback'];

async function inState(state: (typeof STATES)[number]): Promise<RTCPeerConnection> {
  const pc = withChannel();
  if (state === 'have-local-offer' || state === 'have-remote-pranswer') await pc.setLocalDescription();
  if (state === 'have-remote-offer' || state === 'have-local-pranswer') {
    await pc.setRemoteDescription(await remoteOffer());
  }
  if (state === 'have-remote-pranswer') {
    await pc.setRemoteDescription({ ...(await remoteAnswerTo(pc)), type: 'pranswer' });
  }
  if (state === 'have-local-pranswer') await pc.setLocalDescription({ type: 'pranswer' });
  expect(pc.signalingState).toBe(state);
  return pc;
}

/** RFC 9429 §3.2 with W3C's implicit rollback of a local offer by a remote one; what is not here is InvalidStateError. */
const LEGAL: Readonly<Record<string, RTCSignalingState>> = {
  'local offer in stable': 'have-local-offer',
  'local offer in have-local-offer': 'have-local-offer',
  'local pranswer in have-remote-offer': 'have-local-pranswer',
  'local pranswer in have-local-pranswer': 'have-local-pranswer',
  'local answer in have-remote-offer': 'stable',
  'local answer in have-local-pranswer': 'stable',
  'local rollback in have-local-offer': 'stable',
  'local rollback in have-remote-offer': 'stable',
  'remote offer in stable': 'have-remote-offer',
  'remote offer in have-remote-offer': 'have-remote-offer',
  'remote offer in have-local-offer': 'have-remote-offer',
  'remote pranswer in have-local-offer': 'have-remote-pranswer',
  'remote pranswer in have-remote-pranswer': 'have-remote-pranswer',
  'remote answer in have-local-offer': 'stable',
  'remote answer in have-remote-pranswer': 'stable',
  'remote rollback in have-local-offer': 'stable',
  'remote rollback in have-remote-offer': 'stable',
};

const CASES = (['local', 'remote'] as const).flatMap((side) =>
  TYPES.flatMap((type) => STATES.map((state) => [side, type, state] as const)),
);

describe('every transition of the signaling state', () => {
  it.each(CASES)('%s %s in %s', async (side, type, state) => {
    const pc = await inState(state);
    const events: string[] = [];
    pc.onsignalingstatechange = () => events.push(pc.signalingState);
    const expected = LEGAL[`${side} ${type} in ${state}`];
    const set = async (): Promise<void> => {
      if (side === 'local') return pc.setLocalDescription({ type });
      const answers = type === 'answer' || type === 'pranswer';
      const answered = answers && pc.pendingLocalDescription?.type === 'offer';
      const { sdp } = answered ? await remoteAnswerTo(pc) : await remoteOffer();
      return pc.setRemoteDescription({ type, sdp });
    };
    if (expected === undefined) {
      await expect(set()).rejects.toThrow(expect.objectContaining({ name: 'InvalidStateError' }));
      expect(pc.signalingState).toBe(state);
      expect(events).toEqual([]);
    } else {
      await set();
      expect(pc.signalingState).toBe(expected);
      const implicitRollback = side === 'remote' && type === 'offer' && state === 'have-local-offer';
      expect(events).toEqual(implicitRollback ? ['stable', expected] : state === expected ? [] : [expected]);
    }
  });

  it.each(STATES)('createOffer and createAnswer in %s', async (state) => {
    const pc = await inState(state);
    const refused = expect.objectContaining({ name: 'InvalidStateError' });
    const mayOffer = state === 'stable' || state === 'have-local-offer';
    const mayAnswer = state === 'have-remote-offer' || state === 'have-local-pranswer';
    if (mayOffer) expect((await pc.createOffer()).type).toBe('offer');
    else await expect(pc.createOffer()).rejects.toThrow(refused);
    if (mayAnswer) expect((await pc.createAnswer()).type).toBe('answer');
    else await expect(pc.createAnswer()).rejects.toThrow(refused);
  });
});

describe('the description attributes', () => {
  it('move from pending to current when the answer is there, on both sides', async () => {
    const [a, b] = [withChannel(), connection()];
    await a.setLocalDescription();
    expect([a.pendingLocalDescription?.type, a.currentLocalDescription]).toEqual(['offer', null]);
    expect(a.localDescription).toBe(a.pendingLocalDescription);
    await b.setRemoteDescription(a.localDescription!);
    expect([b.pendingRemoteDescription?.type, b.currentRemoteDescription]).toEqual(['offer', null]);
    expect(b.canTrickleIceCandidates).toBe(true);
    await b.setLocalDescription();
    expect([b.pendingLocalDescription, b.pendingRemoteDescription]).toEqual([null, null]);
    expect([b.currentLocalDescription?.type, b.currentRemoteDescription?.type]).toEqual(['answer', 'offer']);
    await a.setRemoteDescription(b.localDescription!);
    expect([a.pendingLocalDescription, a.pendingRemoteDescription]).toEqual([null, null]);
    expect([a.currentLocalDescription?.type, a.currentRemoteDescription?.type]).toEqual(['offer', 'answer']);
    expect(a.sctp).not.toBeNull();
  });

  it('a rollback forgets what was pending and nothing else', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    expect(pc.sctp).not.toBeNull();
    await pc.setLocalDescription({ type: 'rollback' });
    expect([pc.localDescription, pc.sctp, pc.signalingState]).toEqual([null, null, 'stable']);
    await pc.setLocalDescription();
    expect(pc.signalingState).toBe('have-local-offer');
  });

  it('candidates of the peer are added to its description', async () => {
    const pc = await inState('have-remote-offer');
    const candidate = 'candidate:1 1 udp 2130706431 192.0.2.1 1234 typ host';
    await pc.addIceCandidate({ candidate, sdpMid: '0' });
    expect(pc.remoteDescription?.sdp).toContain(`\r\na=${candidate}\r\n`);
    await pc.addIceCandidate({ candidate: '', sdpMid: '0' });
    expect(pc.remoteDescription?.sdp).toContain('\r\na=end-of-candidates\r\n');
  });
});

describe('what is refused, and with which exception', () => {
  it('a closed connection rejects every operation with InvalidStateError', async () => {
    const pc = connection();
    pc.close();
    const refused = expect.objectContaining({ name: 'InvalidStateError' });
    await expect(pc.createOffer()).rejects.toThrow(refused);
    await expect(pc.createAnswer()).rejects.toThrow(refused);
    await expect(pc.setLocalDescription()).rejects.toThrow(refused);
    await expect(pc.setRemoteDescription({ type: 'offer', sdp: '' })).rejects.toThrow(refused);
    await expect(pc.addIceCandidate({ candidate: '', sdpMid: '0' })).rejects.toThrow(refused);
    expect(() => pc.createDataChannel('x')).toThrow(refused);
  });

  it('a description of a type that the state does not allow is InvalidStateError before anybody reads it', async () => {
    const refused = expect.objectContaining({ name: 'InvalidStateError' });
    await expect(connection().setRemoteDescription({ type: 'answer', sdp: 'no SDP' })).rejects.toThrow(refused);
    const pc = await inState('have-remote-offer');
    await expect(pc.setRemoteDescription({ type: 'pranswer', sdp: '' })).rejects.toThrow(refused);
  });

  it('SDP that is no SDP names its line', async () => {
    const pc = connection();
    const failure = await pc
      .setRemoteDescription({ type: 'offer', sdp: 'v=0\r\nnonsense\r\n' })
      .catch((e: unknown) => e);
    expect(failure).toBeInstanceOf(RTCError);
    expect(failure).toMatchObject({ name: 'OperationError', errorDetail: 'sdp-syntax-error', sdpLineNumber: 2 });
    expect(pc.signalingState).toBe('stable');
  });

  it.each([
    ['fingerprint', /a=fingerprint:.*\r\n/],
    ['ICE credentials', /a=ice-ufrag:.*\r\na=ice-pwd:.*\r\n/],
  ])('an offer whose data section has no %s gets that section rejected (RFC 9429 §5.3.1)', async (_, line) => {
    const pc = connection();
    const sdp = (await remoteOffer()).sdp.replace(line, '');
    await pc.setRemoteDescription({ type: 'offer', sdp });
    await pc.setLocalDescription();
    expect(pc.localDescription?.sdp).toContain('m=application 0 UDP/DTLS/SCTP');
    expect(pc.sctp).toBeNull();
  });

  it('an answer without a fingerprint is InvalidAccessError, and leaves everything as it was', async () => {
    const pc = await inState('have-local-offer');
    const sdp = (await remoteAnswerTo(pc)).sdp.replace(/a=fingerprint:.*\r\n/, '');
    await expect(pc.setRemoteDescription({ type: 'answer', sdp })).rejects.toThrow(
      expect.objectContaining({ name: 'InvalidAccessError' }),
    );
    expect(pc.signalingState).toBe('have-local-offer');
  });

  it('a local description that was not created here is InvalidModificationError; a harmless change is taken', async () => {
    const pc = withChannel();
    const { sdp = '' } = await pc.createOffer();
    const refused = expect.objectContaining({ name: 'InvalidModificationError' });
    const changes = [
      [/a=ice-ufrag:.*/, 'a=ice-ufrag:bad one'],
      [/a=setup:.*/, 'a=setup:active'],
      [/a=mid:.*/, 'a=mid:other'],
    ] as const;
    for (const [line, other] of changes) {
      await expect(pc.setLocalDescription({ type: 'offer', sdp: sdp.replace(line, other) })).rejects.toThrow(refused);
    }
    await expect(pc.setLocalDescription(await remoteOffer())).rejects.toThrow(refused);
    const own = sdp.replace(/a=ice-options:.*\r\n/, '').replace(/a=ice-ufrag:.*/, 'a=ice-ufrag:libp2pwebrtcv1');
    await pc.setLocalDescription({ type: 'offer', sdp: own });
    expect(pc.localDescription?.sdp).not.toContain('ice-options');
    expect(pc.sctp?.transport.iceTransport.getLocalParameters?.()?.usernameFragment).toBe('libp2pwebrtcv1');
  });

  it('candidates without a place, for no section, of another generation, or unreadable', async () => {
    const candidate = 'candidate:1 1 udp 2130706431 192.0.2.1 1234 typ host';
    const early = connection();
    const named = (name: string) => expect.objectContaining({ name });
    await expect(early.addIceCandidate({ candidate, sdpMid: '0' })).rejects.toThrow(named('InvalidStateError'));
    const pc = await inState('have-remote-offer');
    await expect(pc.addIceCandidate({ candidate })).rejects.toThrow(named('TypeError'));
    await expect(pc.addIceCandidate({ candidate, sdpMid: 'audio' })).rejects.toThrow(named('OperationError'));
    await expect(pc.addIceCandidate({ candidate, sdpMLineIndex: 1 })).rejects.toThrow(named('OperationError'));
    const stale = { candidate, sdpMid: '0', usernameFragment: 'gone' };
    await expect(pc.addIceCandidate(stale)).rejects.toThrow(named('OperationError'));
    await expect(pc.addIceCandidate({ candidate: 'candidate:x', sdpMid: '0' })).rejects.toThrow(
      named('OperationError'),
    );
    await pc.addIceCandidate(); // end of all candidates
    await pc.addIceCandidate(null);
  });

  it.each([
    [{ maxPacketLifeTime: 1, maxRetransmits: 1 }, 'TypeError'],
    [{ negotiated: true }, 'TypeError'],
    [{ negotiated: true, id: 65_535 }, 'TypeError'],
    [{ negotiated: true, id: 65_536 }, 'TypeError'],
    [{ maxRetransmits: -1 }, 'TypeError'],
    [{ protocol: 'p'.repeat(65_536) }, 'TypeError'],
  ])('createDataChannel with %j', (init, name) => {
    expect(() => connection().createDataChannel('x', init)).toThrow(expect.objectContaining({ name }));
  });

  it('createDataChannel with a long label, or an id in use', () => {
    const pc = connection();
    expect(() => pc.createDataChannel('ü'.repeat(32_768))).toThrow(TypeError);
    pc.createDataChannel('a', { negotiated: true, id: 7 });
    expect(() => pc.createDataChannel('b', { negotiated: true, id: 7 })).toThrow(
      expect.objectContaining({ name: 'OperationError' }),
    );
    expect(pc.createDataChannel('ignored id', { id: 9 }).id).toBeNull();
  });

  it('send before open is InvalidStateError, and close before open closes', async () => {
    const channel = withChannel().createDataChannel('x');
    expect(() => channel.send('early')).toThrow(expect.objectContaining({ name: 'InvalidStateError' }));
    const closed = new Promise((resolve) => {
      channel.onclose = resolve;
    });
    channel.close();
    expect(channel.readyState).toBe('closing');
    await closed;
    expect(channel.readyState).toBe('closed');
  });
});

describe('negotiationneeded', () => {
  it('fires once for the first channel, and again only when an exchange has left something open', async () => {
    const pc = connection();
    let count = 0;
    const needed = new Promise<void>((resolve) => {
      pc.onnegotiationneeded = () => {
        count++;
        resolve();
      };
    });
    pc.createDataChannel('a');
    pc.createDataChannel('b');
    await needed;
    await pc.setLocalDescription();
    await pc.setRemoteDescription(await remoteAnswerTo(pc));
    pc.createDataChannel('c');
    await pc.createOffer();
    expect(count).toBe(1);
    const again = new Promise<void>((resolve) => {
      pc.onnegotiationneeded = () => resolve();
    });
    pc.restartIce();
    await again;
  });

  it('fires again after a rollback', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    const again = new Promise<void>((resolve) => {
      pc.onnegotiationneeded = () => resolve();
    });
    await pc.setLocalDescription({ type: 'rollback' });
    await again;
  });
});

describe('the operations chain', () => {
  it('runs one operation at a time, in the order of the calls', async () => {
    const pc = withChannel();
    const order: string[] = [];
    const answer = remoteOffer();
    const first = pc.setLocalDescription().then(() => order.push('local offer'));
    const second = pc.setLocalDescription({ type: 'rollback' }).then(() => order.push('rollback'));
    const third = answer.then((offer) => pc.setRemoteDescription(offer)).then(() => order.push('remote offer'));
    await Promise.all([first, second, third]);
    expect(order).toEqual(['local offer', 'rollback', 'remote offer']);
    expect(pc.signalingState).toBe('have-remote-offer');
  });

  it('a failure does not stop what comes behind it', async () => {
    const pc = withChannel();
    const failing = pc.createAnswer().catch((error: DOMException) => error.name);
    const working = pc.createOffer();
    expect(await failing).toBe('InvalidStateError');
    expect((await working).type).toBe('offer');
  });

  it('legacy callbacks are told', async () => {
    const pc = withChannel();
    const offer = await new Promise<{ type: string }>((resolve, reject) => void pc.createOffer(resolve, reject));
    expect(offer.type).toBe('offer');
    const error = await new Promise<DOMException>((resolve, reject) => void pc.createAnswer(reject, resolve));
    expect(error.name).toBe('InvalidStateError');
  });
});
