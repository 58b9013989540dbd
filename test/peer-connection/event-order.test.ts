/** The order of events, microtasks and changes that W3C §4.4 and §4.7 fix, on connections that never see a network. */
import { describe, expect, it } from 'vitest';
import type { RTCPeerConnection, RTCSdpType } from '../../src/index.ts';
import { useOfflineConnections } from './offline.ts';

const { make: connection, withChannel, offer: remoteOffer, answerTo } = useOfflineConnections();

const peers = new WeakMap<RTCPeerConnection, RTCPeerConnection>();

/** An exchange with always the same peer. */
async function negotiate(pc: RTCPeerConnection): Promise<void> {
  await pc.setLocalDescription();
  await pc.setRemoteDescription(await answerOfPeer(pc));
}

async function answerOfPeer(pc: RTCPeerConnection): Promise<{ type: RTCSdpType; sdp?: string }> {
  const peer = peers.get(pc) ?? connection();
  peers.set(pc, peer);
  await peer.setRemoteDescription(pc.localDescription!);
  await peer.setLocalDescription();
  return peer.localDescription!;
}

/** Several turns of the event loop: whatever was queued has run. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
}

/** The state, and the descriptions that there are. */
function states(pc: RTCPeerConnection): string {
  const { pendingLocalDescription, currentLocalDescription, pendingRemoteDescription, currentRemoteDescription } = pc;
  const named = {
    pendingLocalDescription,
    currentLocalDescription,
    pendingRemoteDescription,
    currentRemoteDescription,
  };
  const there = Object.entries(named).flatMap(([name, object]) =>
    object === null ? [] : [`${name.replace('Description', '')} ${object.type}`],
  );
  return [pc.signalingState, ...there].join(', ');
}

/** What happens to a connection from now on, with the four descriptions at that moment. */
function record(pc: RTCPeerConnection, operation: Promise<unknown>): string[] {
  const log: string[] = [];
  pc.addEventListener('signalingstatechange', () => log.push(`event: ${states(pc)}`));
  operation.then(
    () => log.push(`resolved: ${states(pc)}`),
    (error: DOMException) => log.push(`${error.name}: ${states(pc)}`),
  );
  return log;
}

describe('descriptions are surfaced in a task, all at once, before the event, and that before the promise', () => {
  it('setLocalDescription(offer)', async () => {
    const pc = withChannel();
    const offer = await pc.createOffer();
    const log = record(pc, pc.setLocalDescription(offer));
    expect(states(pc)).toBe('stable');
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(states(pc)).toBe('stable'); // a task, not a microtask
    await turns();
    const after = 'have-local-offer, pendingLocal offer';
    expect(log).toEqual([`event: ${after}`, `resolved: ${after}`]);
    expect(pc.localDescription).toBe(pc.pendingLocalDescription);
  });

  it('setRemoteDescription(answer)', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    const log = record(pc, pc.setRemoteDescription(await answerTo(pc)));
    await turns();
    const after = 'stable, currentLocal offer, currentRemote answer';
    expect(log).toEqual([`event: ${after}`, `resolved: ${after}`]);
    expect(pc.remoteDescription).toBe(pc.currentRemoteDescription);
  });

  it('setRemoteDescription(offer) over an offer of ours: stable in between', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    const log = record(pc, pc.setRemoteDescription(await remoteOffer()));
    expect(states(pc)).toBe('have-local-offer, pendingLocal offer');
    await turns();
    const after = 'have-remote-offer, pendingRemote offer';
    expect(log).toEqual(['event: stable', `event: ${after}`, `resolved: ${after}`]);
  });

  it('what cannot be read rolls back all the same, and the rollback stays', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    const log = record(pc, pc.setRemoteDescription({ type: 'offer', sdp: 'no SDP' }));
    await turns();
    expect(log).toEqual(['event: stable', 'OperationError: stable']);
  });

  it('a description of the same kind again: no event', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    const before = pc.pendingLocalDescription;
    const log = record(pc, pc.setLocalDescription());
    await turns();
    expect(log).toEqual(['resolved: have-local-offer, pendingLocal offer']);
    expect(pc.pendingLocalDescription).not.toBe(before);
  });

  it('the same object is given out until something changes', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    expect(pc.localDescription).toBe(pc.localDescription);
    const { type, sdp } = pc.localDescription!;
    expect(pc.localDescription?.toJSON()).toEqual({ type, sdp });
  });

  it('a rollback reads no SDP', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    await pc.setLocalDescription({ type: 'rollback', sdp: '!<no SDP>;' });
    await pc.setRemoteDescription(await remoteOffer());
    await pc.setRemoteDescription({ type: 'rollback', sdp: '!<no SDP>;' });
    expect(states(pc)).toBe('stable');
  });
});

describe('the operations chain (W3C §4.4.1.2)', () => {
  it('an operation that may begin at once fails within microtasks, one behind others does not', async () => {
    const pc = withChannel();
    const log: string[] = [];
    pc.createAnswer().catch(() => log.push('first'));
    for (let i = 0; i < 5; i++) await Promise.resolve();
    expect(log).toEqual(['first']);
    void pc.createOffer();
    pc.createAnswer().catch(() => log.push('behind an offer'));
    for (let i = 0; i < 20; i++) await Promise.resolve();
    expect(log).toEqual(['first']);
    await turns();
    expect(log).toEqual(['first', 'behind an offer']);
  });

  it('settles in the order of the calls', async () => {
    const pc = withChannel();
    const log: string[] = [];
    const note = (name: string) => () => log.push(name);
    void pc.createOffer().then(note('createOffer'));
    void pc.setLocalDescription().then(note('setLocalDescription'));
    pc.addIceCandidate().catch(note('addIceCandidate'));
    pc.createAnswer().catch(note('createAnswer'));
    void pc.setLocalDescription({ type: 'rollback' }).then(note('rollback'));
    void pc.getStats().then(note('getStats')); // not chained
    await turns();
    expect(log).toEqual([
      'getStats',
      'createOffer',
      'setLocalDescription',
      'addIceCandidate',
      'createAnswer',
      'rollback',
    ]);
  });

  it('a candidate that comes during an implicit rollback waits for the offer', async () => {
    const pc = withChannel();
    await pc.setLocalDescription();
    const set = pc.setRemoteDescription(await remoteOffer());
    await new Promise((resolve) => pc.addEventListener('signalingstatechange', resolve, { once: true }));
    expect(pc.signalingState).toBe('stable');
    await pc.addIceCandidate();
    await set;
    expect(pc.signalingState).toBe('have-remote-offer');
  });

  it('nothing in it settles after close, and what is called then is rejected', async () => {
    const pc = withChannel();
    const log: string[] = [];
    const note = (name: string) => () => log.push(name);
    void pc.createOffer().then(note('offer'), note('offer'));
    void pc.setLocalDescription().then(note('local'), note('local'));
    pc.createAnswer().then(note('answer'), note('answer'));
    pc.onsignalingstatechange = note('event');
    pc.close();
    expect(pc.signalingState).toBe('closed');
    await turns();
    expect(log).toEqual([]);
    await expect(pc.addIceCandidate()).rejects.toMatchObject({ name: 'InvalidStateError' });
    expect((await pc.getStats()).size).toBeGreaterThan(0);
    pc.restartIce();
    await turns();
  });

  it('closing in signalingstatechange leaves the promise pending', async () => {
    const pc = withChannel();
    const log: string[] = [];
    pc.onsignalingstatechange = () => {
      log.push(pc.signalingState);
      pc.close();
    };
    void pc.setLocalDescription().then(() => log.push('resolved'));
    await turns();
    expect(log).toEqual(['have-local-offer']);
  });
});

describe('negotiationneeded (W3C §4.7.3)', () => {
  function count(pc: RTCPeerConnection): { n: number } {
    const counter = { n: 0 };
    pc.addEventListener('negotiationneeded', () => counter.n++);
    return counter;
  }

  it('comes in a task: a handler set after createDataChannel gets it', async () => {
    const pc = withChannel();
    const needed = count(pc);
    await turns();
    pc.createDataChannel('second');
    await turns();
    expect(needed.n).toBe(1);
  });

  it('waits for stable', async () => {
    const pc = connection();
    const needed = count(pc);
    await pc.setLocalDescription(); // an offer of nothing
    pc.createDataChannel('x');
    await turns();
    expect(needed.n).toBe(0);
    await pc.setRemoteDescription(await answerTo(pc));
    await turns();
    expect(needed.n).toBe(1);
  });

  it('waits for the chain to be empty', async () => {
    const pc = connection();
    const log: string[] = [];
    pc.onnegotiationneeded = () => log.push('needed');
    const offer = pc.createOffer().then(() => log.push('offer'));
    pc.createDataChannel('x');
    await offer;
    await turns();
    expect(log).toEqual(['offer', 'needed']);
  });

  it('also for an operation that begins after the call that made it due', async () => {
    const pc = connection();
    const log: string[] = [];
    pc.onnegotiationneeded = () => log.push('needed');
    pc.createDataChannel('x');
    void pc.createOffer().then(() => log.push('offer'));
    await turns();
    expect(log).toEqual(['offer', 'needed']);
  });

  it('does not come for what a remote offer has negotiated', async () => {
    const pc = connection();
    const needed = count(pc);
    await pc.setRemoteDescription(await remoteOffer());
    pc.createDataChannel('x');
    await pc.setLocalDescription();
    await turns();
    expect(needed.n).toBe(0);
  });

  it('does not come once closed', async () => {
    const pc = withChannel();
    const needed = count(pc);
    pc.close();
    await turns();
    expect(needed.n).toBe(0);
  });
});

describe('restartIce (W3C §4.4.2)', () => {
  const ufrag = (pc: RTCPeerConnection) => /a=ice-ufrag:(.*)/.exec(pc.localDescription?.sdp ?? '')?.[1];

  /** Whether negotiationneeded comes within some turns. */
  async function isNeeded(pc: RTCPeerConnection, act: () => void | Promise<void>): Promise<boolean> {
    let needed = false;
    const listener = (): void => {
      needed = true;
    };
    pc.addEventListener('negotiationneeded', listener);
    await act();
    await turns();
    pc.removeEventListener('negotiationneeded', listener);
    return needed;
  }

  it('has no effect before the first exchange, nor on a closed connection', async () => {
    const pc = withChannel();
    await turns();
    expect(await isNeeded(pc, () => pc.restartIce())).toBe(false);
    pc.close();
    expect(await isNeeded(pc, () => pc.restartIce())).toBe(false);
  });

  it('asks for an exchange, whose offer and answer have new credentials, and only for one', async () => {
    const pc = withChannel();
    await negotiate(pc);
    const before = ufrag(pc);
    expect(await isNeeded(pc, () => pc.restartIce())).toBe(true);
    await negotiate(pc);
    expect(ufrag(pc)).not.toBe(before);
    const restarted = ufrag(pc);
    expect(await isNeeded(pc, () => negotiate(pc))).toBe(false);
    expect(ufrag(pc)).toBe(restarted);
  });

  it('during our offer: asks again when that is answered', async () => {
    const pc = withChannel();
    await negotiate(pc);
    const before = ufrag(pc);
    await pc.setLocalDescription();
    expect(await isNeeded(pc, () => pc.restartIce())).toBe(false);
    const answer = await answerOfPeer(pc);
    expect(await isNeeded(pc, () => pc.setRemoteDescription(answer))).toBe(true);
    expect(ufrag(pc)).toBe(before);
    await negotiate(pc);
    expect(ufrag(pc)).not.toBe(before);
  });

  it('survives a rollback', async () => {
    const pc = withChannel();
    await negotiate(pc);
    const before = ufrag(pc);
    pc.restartIce();
    await pc.setLocalDescription();
    expect(ufrag(pc)).not.toBe(before);
    expect(await isNeeded(pc, () => pc.setLocalDescription({ type: 'rollback' }))).toBe(true);
    expect(ufrag(pc)).toBe(before);
    await pc.setLocalDescription();
    expect(ufrag(pc)).not.toBe(before);
  });

  it('is not satisfied by an offer of the peer that does not restart, and is by one that does', async () => {
    const [a, b] = [withChannel(), connection()];
    const exchange = async (offerer: RTCPeerConnection, answerer: RTCPeerConnection): Promise<void> => {
      await offerer.setLocalDescription();
      await answerer.setRemoteDescription(offerer.localDescription!);
      await answerer.setLocalDescription();
      await offerer.setRemoteDescription(answerer.localDescription!);
    };
    await exchange(a, b);
    const before = ufrag(a);
    a.restartIce();
    expect(await isNeeded(a, () => exchange(b, a))).toBe(true);
    expect(ufrag(a)).toBe(before);
    b.restartIce();
    expect(await isNeeded(a, () => exchange(b, a))).toBe(false);
    expect(ufrag(a)).not.toBe(before);
  });

  it('createOffer({ iceRestart: true }) does the same at once', async () => {
    const pc = withChannel();
    await negotiate(pc);
    const before = ufrag(pc);
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    expect(ufrag(pc)).not.toBe(before);
  });
});

describe('iceGatheringState', () => {
  it('runs through its states once an offer has a transport, and is new again after a rollback to nothing', async () => {
    const pc = withChannel();
    const log: string[] = [];
    pc.onicegatheringstatechange = () => log.push(pc.iceGatheringState);
    await pc.setLocalDescription();
    await turns();
    const transport = pc.sctp!.transport.iceTransport;
    expect([pc.iceGatheringState, transport.gatheringState]).toEqual(['complete', 'complete']);
    expect(log.at(-1)).toBe('complete');
    log.length = 0;
    await pc.setLocalDescription({ type: 'rollback' });
    await turns();
    expect([log, pc.iceGatheringState, pc.sctp]).toEqual([['new'], 'new', null]);
    await pc.setLocalDescription();
    await turns();
    expect(pc.iceGatheringState).toBe('complete');
    expect(pc.localDescription?.sdp).toContain('a=end-of-candidates');
  });

  it('stays complete when an offer that restarts is rolled back', async () => {
    const pc = withChannel();
    await negotiate(pc);
    await turns();
    expect(pc.iceGatheringState).toBe('complete');
    await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
    await pc.setLocalDescription({ type: 'rollback' });
    await turns();
    expect(pc.iceGatheringState).toBe('complete');
  });

  it('is not begun by an offer of nothing', async () => {
    const pc = connection();
    await pc.setLocalDescription();
    await turns();
    expect([pc.iceGatheringState, pc.iceConnectionState, pc.connectionState, pc.sctp]).toEqual([
      'new',
      'new',
      'new',
      null,
    ]);
  });
});
