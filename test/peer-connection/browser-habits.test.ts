/** What a run of the same programs in Chromium has shown to differ: arguments as browsers take them, and peers as they are. */
import { describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { useOfflineConnections } from './offline.ts';

const { make, withChannel, offer: remoteOffer, answerTo } = useOfflineConnections();
const nothing = (): void => undefined;
const named = (name: string) => expect.objectContaining({ name });
const ufragOf = (description: { readonly sdp: string } | null): string =>
  /a=ice-ufrag:(\S+)/.exec(description?.sdp ?? '')?.[1] ?? '';

/** Calls a method with arguments that its type does not allow. */
const call = (pc: RTCPeerConnection, name: keyof RTCPeerConnection, ...given: unknown[]): Promise<unknown> => {
  const method: unknown = pc[name];
  if (typeof method !== 'function') throw new Error(`${name} is no method`);
  return Reflect.apply(method, pc, given);
};

describe('the callback forms (W3C §4.4.3)', () => {
  it('a single callback is a dictionary of options for createOffer', async () => {
    expect(await call(withChannel(), 'createOffer', nothing)).toMatchObject({ type: 'offer' });
  });

  it.each([
    ['createOffer', [nothing, null]],
    ['createOffer', [{}, nothing]],
    ['createAnswer', [nothing, 1]],
    ['setLocalDescription', [{ type: 'offer' }, 1, 2]],
    ['setRemoteDescription', [{ type: 'offer' }, {}, nothing]],
    ['addIceCandidate', [{}, 'callback']],
  ] as const)('%s refuses what is no function', async (name, given) => {
    await expect(call(withChannel(), name, ...given)).rejects.toThrow(TypeError);
  });

  it('success of what resolves with nothing is called with nothing', async () => {
    const pc = withChannel();
    const given = await new Promise((resolve) => {
      void call(pc, 'setLocalDescription', { type: 'offer' }, (...values: unknown[]) => resolve(values), resolve);
    });
    expect(given).toEqual([]);
  });

  it('without a failure callback nobody is told of a failure, not even the process', async () => {
    const pc = withChannel();
    await expect(call(pc, 'setRemoteDescription', { type: 'answer', sdp: 'x' }, nothing)).resolves.toBe(undefined);
    await pc.setLocalDescription(); // the chain goes on: had the rejection been unhandled, the run would fail
    expect(pc.signalingState).toBe('have-local-offer');
  });
});

describe('candidates as peers write them', () => {
  const text = (port: number, foundation = '1'): string =>
    `candidate:${foundation} 1 udp 2130706431 192.0.2.1 ${port} typ host`;

  it.each([
    ['an empty mid beside an index (pion, Chromium)', { candidate: text(1), sdpMid: '', sdpMLineIndex: 0 }, text(1)],
    ['an empty ufrag (Chromium)', { candidate: text(2), sdpMid: '0', usernameFragment: '' }, text(2)],
    ['the end of its line', { candidate: `${text(3)}\r\n`, sdpMid: '0' }, text(3)],
    ['a line of its own', { candidate: `a=${text(4)} \r\n`, sdpMid: '0' }, text(4)],
    ['capitals', { candidate: text(5).replace('candidate', 'CANDIDATE'), sdpMid: '0' }, text(5)],
    [
      'a UUID as foundation',
      { candidate: text(6, '0d1b6c1e-7f1c-4f57-8b55-9a4ac0f4d6a1'), sdpMid: '0' },
      '0d1b6c1e-7f1c',
    ],
  ])('with %s', async (_, candidate, line) => {
    const pc = make();
    await pc.setRemoteDescription(await remoteOffer());
    await pc.addIceCandidate(candidate);
    expect(pc.remoteDescription?.sdp.split('\r\n').filter((other) => other.includes(line))).toHaveLength(1);
  });

  it('an empty mid alone is no section', async () => {
    const pc = make();
    await pc.setRemoteDescription(await remoteOffer());
    await expect(pc.addIceCandidate({ candidate: text(1), sdpMid: '' })).rejects.toThrow(named('OperationError'));
  });
});

it('a rollback takes back a restart that was set twice', async () => {
  const pc = withChannel();
  const other = make();
  await pc.setLocalDescription();
  await other.setRemoteDescription(pc.localDescription!);
  await other.setLocalDescription();
  await pc.setRemoteDescription(other.localDescription!);
  const before = ufragOf(pc.localDescription);
  pc.restartIce();
  await pc.setLocalDescription();
  await pc.setLocalDescription();
  expect(ufragOf(pc.localDescription)).not.toBe(before);
  await pc.setLocalDescription({ type: 'rollback' });
  const { iceTransport } = pc.sctp!.transport;
  expect([ufragOf(pc.localDescription), iceTransport.getLocalParameters?.()?.usernameFragment]).toEqual([
    before,
    before,
  ]);
  await other.setLocalDescription();
  await pc.setRemoteDescription(other.localDescription!);
  await pc.setLocalDescription(); // an answer with credentials that nobody has asked for would be refused
  expect(ufragOf(pc.localDescription)).toBe(before);
});

describe('setLocalDescription without a text (W3C §4.4.2, steps 4.4 and 4.5)', () => {
  it('sets the offer that was created last, with what was wished for it', async () => {
    const pc = withChannel();
    const offer = await pc.createOffer();
    await pc.setLocalDescription();
    expect(pc.localDescription?.sdp).toBe(offer.sdp);
    await pc.setRemoteDescription(await answerTo(pc));
    const restarting = await pc.createOffer({ iceRestart: true });
    await pc.setLocalDescription({ type: 'offer' });
    expect(pc.localDescription?.sdp).toBe(restarting.sdp);
    expect(ufragOf(pc.pendingLocalDescription)).not.toBe(ufragOf(pc.currentLocalDescription));
  });

  it.each(['answer', 'pranswer'] as const)('sets the answer that was created last as %s', async (type) => {
    const pc = make();
    await pc.setRemoteDescription(await remoteOffer());
    const answer = await pc.createAnswer();
    await pc.setLocalDescription({ type });
    expect(pc.localDescription).toMatchObject({ type, sdp: answer.sdp });
  });

  it('makes another where something has changed meanwhile', async () => {
    const pc = make();
    await pc.createOffer();
    pc.createDataChannel('x');
    await pc.setLocalDescription();
    expect(pc.localDescription?.sdp).toContain('m=application');
    await pc.setRemoteDescription(await answerTo(pc));
    const before = ufragOf(pc.localDescription);
    await pc.createOffer();
    pc.restartIce();
    await pc.setLocalDescription();
    expect(ufragOf(pc.localDescription)).not.toBe(before);
    await pc.createOffer();
    await pc.setLocalDescription({ type: 'rollback' });
    await pc.setRemoteDescription(await remoteOffer());
    await pc.setLocalDescription({ type: 'answer' });
    expect(pc.signalingState).toBe('stable');
  });
});

it('the end of all candidates is taken also where there is no section', async () => {
  const pc = make();
  await pc.setRemoteDescription(await make().createOffer());
  await pc.addIceCandidate();
});

it('setConfiguration on a closed connection converts before it looks', () => {
  const pc = make();
  pc.close();
  const bad = (configuration: unknown) => () => Reflect.apply(pc.setConfiguration, pc, [configuration]);
  expect(bad({ bundlePolicy: 'none' })).toThrow(TypeError);
  expect(bad({ iceServers: [{ urls: 'no URL' }] })).toThrow(named('InvalidStateError'));
});

it('dictionaries have their members in the order of Web IDL', () => {
  const pc = new RTCPeerConnection({ iceServers: [{ urls: 'turn:a', username: 'u', credential: 'c' }] });
  const given = pc.getConfiguration();
  expect(Object.keys(given)).toEqual(Object.keys(given).sort());
  expect(Object.keys(given.iceServers![0]!)).toEqual(['credential', 'urls', 'username']);
  pc.close();
});

it('getStats takes null and no other selector', async () => {
  const pc = make();
  expect((await pc.getStats(null)).size).toBeGreaterThan(0);
  for (const selector of [{}, 1, 'x', nothing]) await expect(pc.getStats(selector)).rejects.toThrow(TypeError);
});

it.each([
  [undefined, 'NotSupportedError'],
  [null, 'NotSupportedError'],
  [1, 'NotSupportedError'],
  ['ECDSA', 'TypeError'],
  [{ name: 'ECDSA' }, 'TypeError'],
  [{ name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: Uint8Array.of(1, 0, 1) }, 'TypeError'],
])('generateCertificate(%j) rejects with %s', async (algorithm, name) => {
  const made = Reflect.apply(RTCPeerConnection.generateCertificate, undefined, [algorithm]);
  await expect(made).rejects.toThrow(named(name));
});
