/** addIceCandidate (W3C §4.4.2), step by step, on an offer with two media sections of different credentials. */
import { describe, expect, it } from 'vitest';
import { SILENT } from '../../src/core/index.ts';
import { RTCIceCandidate, type RTCIceCandidateInit, type RTCPeerConnection } from '../../src/index.ts';
import { platform } from '../../src/io/index.ts';
import { MAX_SDP_CANDIDATES, parseSdp } from '../../src/sdp/index.ts';
import { useOfflineConnections } from './offline.ts';

const FINGERPRINT = Array.from({ length: 32 }, (_, i) => (i + 16).toString(16).toUpperCase()).join(':');

const section = (media: string, mid: string, ufrag: string): readonly string[] => [
  `m=${media} 9 UDP/TLS/RTP/SAVPF 96`,
  'c=IN IP4 0.0.0.0',
  `a=mid:${mid}`,
  'a=sendrecv',
  'a=rtcp-mux',
  `a=ice-ufrag:${ufrag}`,
  `a=ice-pwd:${ufrag.repeat(6)}`,
  `a=fingerprint:sha-256 ${FINGERPRINT}`,
  'a=setup:actpass',
];

/** With line feeds alone, as people write SDP into programs. */
const MEDIA_OFFER = [
  'v=0',
  'o=- 4962303333179871722 1 IN IP4 0.0.0.0',
  's=-',
  't=0 0',
  'a=ice-options:trickle',
  ...section('audio', 'a1', 'ETEn'),
  ...section('video', 'v1', 'BGKk'),
  '',
].join('\n');

const connections = useOfflineConnections();

async function withRemoteOffer(sdp: string = MEDIA_OFFER): Promise<RTCPeerConnection> {
  const pc = connections.make();
  await pc.setRemoteDescription({ type: 'offer', sdp });
  return pc;
}

const FIRST = 'candidate:1 1 udp 2113929471 203.0.113.100 10100 typ host';
const SECOND = 'candidate:1 2 udp 2113929470 203.0.113.100 10101 typ host';

/** The lines of each section of the remote description. */
function sections(pc: RTCPeerConnection): string[] {
  return pc.remoteDescription!.sdp.split(/^(?=m=)/m).slice(1);
}

describe('where a candidate goes', () => {
  it.each<[RTCIceCandidateInit, number]>([
    [{ sdpMid: 'a1', sdpMLineIndex: 0, usernameFragment: 'ETEn' }, 0],
    [{ sdpMid: 'v1', sdpMLineIndex: 1, usernameFragment: 'BGKk' }, 1],
    [{ sdpMid: 'a1' }, 0],
    [{ sdpMid: 'v1', usernameFragment: null }, 1],
    [{ sdpMLineIndex: 1 }, 1],
    [{ sdpMid: 'a1', sdpMLineIndex: 1 }, 0], // sdpMid decides
    [{ sdpMid: 'a1', sdpMLineIndex: 9 }, 0],
  ])('%j: section %d', async (init, index) => {
    const pc = await withRemoteOffer();
    await pc.addIceCandidate({ candidate: FIRST, ...init });
    expect(sections(pc).map((text) => text.includes(`\r\na=${FIRST}\r\n`))).toEqual([index === 0, index === 1]);
  });

  it('several, and the end of them, each in its section', async () => {
    const pc = await withRemoteOffer();
    await pc.addIceCandidate(new RTCIceCandidate({ candidate: FIRST, sdpMid: 'a1', usernameFragment: 'ETEn' }));
    await pc.addIceCandidate({ candidate: SECOND, sdpMid: 'v1' });
    await pc.addIceCandidate({ candidate: '', sdpMid: 'a1' });
    const [audio, video] = sections(pc);
    expect(audio).toMatch(new RegExp(`a=${FIRST}\r\na=end-of-candidates\r\n`));
    expect(video).toContain(`a=${SECOND}\r\n`);
    expect(video).not.toContain('end-of-candidates');
  });

  it('in a section without a mid: sdpMLineIndex decides, whatever the candidate calls it', async () => {
    const pc = await withRemoteOffer(MEDIA_OFFER.replace('a=mid:v1\n', ''));
    await pc.addIceCandidate({ candidate: FIRST, sdpMid: '1', sdpMLineIndex: 1 });
    expect(sections(pc).map((text) => text.includes(`a=${FIRST}`))).toEqual([false, true]);
    const refused = expect.objectContaining({ name: 'OperationError' });
    await expect(pc.addIceCandidate({ candidate: FIRST, sdpMid: '1', sdpMLineIndex: 0 })).rejects.toThrow(refused);
    await expect(pc.addIceCandidate({ candidate: FIRST, sdpMid: '1' })).rejects.toThrow(refused);
  });

  it(`in a section that has ${MAX_SDP_CANDIDATES} nowhere: what a peer trickles has a bound too`, async () => {
    const dropped: string[] = [];
    const trace = { ...SILENT, drop: (_layer: string, reason: string, detail: string) => dropped.push(reason, detail) };
    const pc = connections.make({ platform: { ...platform, env: { ...platform.env, trace } } });
    await pc.setRemoteDescription({ type: 'offer', sdp: MEDIA_OFFER });
    for (let port = 1; port <= MAX_SDP_CANDIDATES + 1; port++) {
      await pc.addIceCandidate({ candidate: FIRST.replace('10100', `${port}`), sdpMid: 'a1' });
    }
    await pc.addIceCandidate({ candidate: FIRST, sdpMid: 'v1' });
    expect(sections(pc).map((text) => text.match(/a=candidate/g)?.length)).toEqual([MAX_SDP_CANDIDATES, 1]);
    expect(parseSdp(pc.remoteDescription!.sdp).media).toHaveLength(2);
    expect(dropped).toEqual(['limit', 'remote candidates']);
  });

  it.each([undefined, null, {}, { candidate: '' }])('%j ends all candidates', async (init) => {
    const pc = await withRemoteOffer();
    await pc.addIceCandidate(init);
    expect(sections(pc).map((text) => text.includes('a=end-of-candidates'))).toEqual([true, true]);
  });

  it('an end that names a generation alone is for the sections of it', async () => {
    const pc = await withRemoteOffer();
    await pc.addIceCandidate({ usernameFragment: 'BGKk' });
    expect(sections(pc).map((text) => text.includes('a=end-of-candidates'))).toEqual([false, true]);
    await expect(pc.addIceCandidate({ usernameFragment: 'none' })).rejects.toMatchObject({ name: 'OperationError' });
  });
});

describe('what is refused', () => {
  it.each<[Record<string, unknown>, string]>([
    [{ candidate: FIRST }, 'TypeError'],
    [{ candidate: FIRST, sdpMid: null, sdpMLineIndex: null }, 'TypeError'],
    [{ candidate: '(Invalid) candidate \r\n string' }, 'TypeError'],
    [{ candidate: FIRST, sdpMid: 'invalid', sdpMLineIndex: 0 }, 'OperationError'],
    [{ candidate: FIRST, sdpMLineIndex: 2 }, 'OperationError'],
    [{ candidate: '(Invalid) candidate \r\n string', sdpMid: 'a1' }, 'OperationError'],
    [{ candidate: FIRST, sdpMid: 'a1', usernameFragment: 'invalid' }, 'OperationError'],
    [{ candidate: FIRST, sdpMid: 'a1', usernameFragment: 'BGKk' }, 'OperationError'],
    [{ candidate: '', sdpMid: 'a1', usernameFragment: 'invalid' }, 'OperationError'],
    [{ candidate: `${FIRST} ufrag invalid`, sdpMid: 'a1' }, 'OperationError'],
  ])('%j: %s, and the description is as it was', async (init, name) => {
    const pc = await withRemoteOffer();
    const before = pc.remoteDescription!.sdp;
    await expect(pc.addIceCandidate(init)).rejects.toMatchObject({ name });
    expect(pc.remoteDescription!.sdp).toBe(before);
  });

  it('what is no dictionary', async () => {
    const pc = await withRemoteOffer();
    for (const value of ['candidate', 7, true]) {
      await expect(Reflect.apply(pc.addIceCandidate, pc, [value])).rejects.toThrow(TypeError);
    }
  });

  it('anything before there is a remote description, but for what has no place even then', async () => {
    const pc = connections.make();
    await expect(pc.addIceCandidate({ candidate: FIRST, sdpMid: 'a1' })).rejects.toMatchObject({
      name: 'InvalidStateError',
    });
    await expect(pc.addIceCandidate()).rejects.toMatchObject({ name: 'InvalidStateError' });
    await expect(pc.addIceCandidate({ candidate: FIRST })).rejects.toThrow(TypeError);
  });
});

describe('canTrickleIceCandidates', () => {
  it('is null, then what the remote description says', async () => {
    const pc = connections.make();
    expect(pc.canTrickleIceCandidates).toBeNull();
    expect((await withRemoteOffer()).canTrickleIceCandidates).toBe(true);
    expect((await withRemoteOffer(MEDIA_OFFER.replace('a=ice-options:trickle\n', ''))).canTrickleIceCandidates).toBe(
      false,
    );
    expect((await withRemoteOffer(MEDIA_OFFER.replace('trickle', 'ice2'))).canTrickleIceCandidates).toBe(false);
  });
});

describe('an offer of media alone', () => {
  it('is answered with every section rejected, and no transport', async () => {
    const pc = await withRemoteOffer();
    expect([pc.sctp, pc.getTransceivers()]).toEqual([null, []]);
    const { sdp = '' } = await pc.createAnswer();
    expect(sdp.match(/^m=\w+ 0 /gm)).toHaveLength(2);
    await pc.setLocalDescription();
    expect([pc.signalingState, pc.iceGatheringState, pc.sctp]).toEqual(['stable', 'new', null]);
  });

  it('without rtcp-mux it is refused with InvalidAccessError', async () => {
    const pc = connections.make();
    const sdp = MEDIA_OFFER.replaceAll('a=rtcp-mux\n', '');
    await expect(pc.setRemoteDescription({ type: 'offer', sdp })).rejects.toMatchObject({ name: 'InvalidAccessError' });
  });
});
