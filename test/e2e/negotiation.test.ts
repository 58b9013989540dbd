import { afterEach, describe, expect, it } from 'vitest';
import {
  type RTCDataChannel,
  type RTCIceCandidate,
  RTCPeerConnection,
  type RTCSessionDescription,
} from '../../src/index.ts';
import { LOOPBACK, negotiate, once, Pair, trickle, untilState } from './support.ts';

let pair: Pair | undefined;
afterEach(() => {
  pair?.close();
  pair = undefined;
});

/** W3C §10.7, word for word: what an application does that never wants to think about glare. */
class PerfectNegotiator {
  readonly pc: RTCPeerConnection;
  readonly polite: boolean;
  send: (message: { description?: RTCSessionDescription | null; candidate?: RTCIceCandidate | null }) => void = () =>
    undefined;
  #makingOffer = false;
  #ignoreOffer = false;
  #isSettingRemoteAnswerPending = false;
  readonly errors: unknown[] = [];
  collisions = 0;

  constructor(pc: RTCPeerConnection, polite: boolean) {
    this.pc = pc;
    this.polite = polite;
    pc.onicecandidate = ({ candidate }) => this.send({ candidate });
    pc.onnegotiationneeded = async () => {
      try {
        this.#makingOffer = true;
        await pc.setLocalDescription();
        this.send({ description: pc.localDescription });
      } catch (error) {
        this.errors.push(error);
      } finally {
        this.#makingOffer = false;
      }
    };
  }

  async receive({
    description,
    candidate,
  }: {
    description?: RTCSessionDescription | null;
    candidate?: RTCIceCandidate | null;
  }): Promise<void> {
    const { pc } = this;
    try {
      if (description) {
        const readyForOffer =
          !this.#makingOffer && (pc.signalingState === 'stable' || this.#isSettingRemoteAnswerPending);
        const offerCollision = description.type === 'offer' && !readyForOffer;
        if (offerCollision) this.collisions++;
        this.#ignoreOffer = !this.polite && offerCollision;
        if (this.#ignoreOffer) return;
        this.#isSettingRemoteAnswerPending = description.type === 'answer';
        await pc.setRemoteDescription(description);
        this.#isSettingRemoteAnswerPending = false;
        if (description.type === 'offer') {
          await pc.setLocalDescription();
          this.send({ description: pc.localDescription });
        }
      } else {
        try {
          await pc.addIceCandidate(candidate);
        } catch (error) {
          if (!this.#ignoreOffer) throw error;
        }
      }
    } catch (error) {
      if (pc.signalingState !== 'closed') this.errors.push(error);
    }
  }
}

function perfectPair(): [PerfectNegotiator, PerfectNegotiator] {
  const a = new PerfectNegotiator(new RTCPeerConnection(LOOPBACK), true);
  const b = new PerfectNegotiator(new RTCPeerConnection(LOOPBACK), false);
  // A signalling channel takes its time, so that both may speak at once.
  a.send = (message) => setImmediate(() => void b.receive(message));
  b.send = (message) => setImmediate(() => void a.receive(message));
  return [a, b];
}

describe('perfect negotiation', () => {
  it('both sides offer at once, 20 times over: every channel opens, nothing is thrown', async () => {
    let collisions = 0;
    for (let round = 0; round < 20; round++) {
      const [a, b] = perfectPair();
      const left = a.pc.createDataChannel('left');
      const right = b.pc.createDataChannel('right');
      await Promise.all([untilState(left, 'open'), untilState(right, 'open')]);
      expect([a.errors, b.errors]).toEqual([[], []]);
      expect([a.pc.signalingState, b.pc.signalingState]).toEqual(['stable', 'stable']);
      collisions += a.collisions + b.collisions;
      a.pc.close();
      b.pc.close();
    }
    expect(collisions).toBeGreaterThan(0);
  });

  it('both sides restart ICE at once', async () => {
    const [a, b] = perfectPair();
    const channel = a.pc.createDataChannel('x');
    b.pc.ondatachannel = ({ channel: echo }) => {
      echo.onmessage = ({ data }) => echo.send(data);
    };
    await untilState(channel, 'open');
    const ufrag = (pc: RTCPeerConnection) => /a=ice-ufrag:(.*)\r\n/.exec(pc.currentLocalDescription?.sdp ?? '')?.[1];
    const before = [ufrag(a.pc), ufrag(b.pc)];
    a.pc.restartIce();
    b.pc.restartIce();
    await expect
      .poll(() => [a.pc.signalingState, b.pc.signalingState, ufrag(a.pc) !== before[0], ufrag(b.pc) !== before[1]])
      .toEqual(['stable', 'stable', true, true]);
    expect([a.errors, b.errors]).toEqual([[], []]);
    const answer = once<MessageEvent>(channel, 'message');
    channel.send('still here');
    expect((await answer).data).toBe('still here');
    a.pc.close();
    b.pc.close();
  });
});

describe('renegotiation', () => {
  it('20 exchanges from alternating sides, each adding a channel: m-lines and channels stay', async () => {
    pair = new Pair();
    await pair.connect();
    for (let i = 0; i < 20; i++) {
      const [from, to] = i % 2 ? [pair.a, pair.b] : [pair.b, pair.a];
      const announced = once(to, 'datachannel');
      const channel = from.createDataChannel(`channel ${i}`);
      await negotiate(from, to);
      await Promise.all([announced, untilState(channel, 'open')]);
    }
    expect(pair.a.localDescription!.sdp.match(/^m=/gm)).toHaveLength(1);
    expect(pair.a.connectionState).toBe('connected');
  });

  it('an ICE restart changes the credentials and keeps the channel', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const ufrag = (sdp: string) => /a=ice-ufrag:(.*)\r\n/.exec(sdp)?.[1];
    const before = [ufrag(pair.a.localDescription!.sdp), ufrag(pair.b.localDescription!.sdp)];
    pair.a.restartIce();
    await once(pair.a, 'negotiationneeded');
    await negotiate(pair.a, pair.b);
    const after = [ufrag(pair.a.localDescription!.sdp), ufrag(pair.b.localDescription!.sdp)];
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
    const message = once<MessageEvent>(b, 'message');
    a.send('still here');
    expect((await message).data).toBe('still here');
    const ice = pair.a.sctp!.transport.iceTransport;
    await expect.poll(() => ice.getSelectedCandidatePair()?.local.usernameFragment).toBe(after[0]);
    // What belongs to the generation before is not listed any more, however often ICE restarts.
    await expect.poll(() => ice.getLocalCandidates?.().length).toBe(1);
    const listed = [...(ice.getLocalCandidates?.() ?? []), ...(ice.getRemoteCandidates?.() ?? [])];
    expect(listed.map(({ usernameFragment }) => usernameFragment)).toEqual(after);
    expect(pair.a.connectionState).toBe('connected');
  });

  it('an offer that restarts ICE can be rolled back: the old credentials stay, data flows on', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const before = pair.a.currentLocalDescription?.sdp;
    const offer = await pair.a.createOffer({ iceRestart: true });
    await pair.a.setLocalDescription(offer);
    await expect.poll(() => pair!.a.iceGatheringState).toBe('complete');
    // One more offer has the candidates of the generation that it is about.
    const ufrags = (sdp = '') =>
      new Set(Array.from(sdp.matchAll(/ice-ufrag:(\S+)|ufrag (\S+)/g), ([, a, c]) => a ?? c));
    expect(ufrags((await pair.a.createOffer()).sdp)).toEqual(ufrags(offer.sdp));
    await pair.a.setLocalDescription({ type: 'rollback' });
    expect(pair.a.signalingState).toBe('stable');
    expect(pair.a.currentLocalDescription?.sdp).toBe(before);
    const message = once<MessageEvent>(b, 'message');
    a.send('still here');
    expect((await message).data).toBe('still here');
    expect(pair.refused.length).toBeGreaterThan(0); // the candidates of the offer that never left
    // A later offer has those of the generation that lives on, and no others.
    const candidates = (sdp = '') => sdp.match(/a=candidate:.*ufrag \S+/g);
    expect(candidates((await pair.a.createOffer()).sdp)).toEqual(candidates(before));
    expect(candidates(before)).toHaveLength(1);
    await negotiate(pair.b, pair.a);
    expect(pair.a.connectionState).toBe('connected');
  });
});

describe('a data section that is rejected later, and recycled (RFC 9429 §5.2.2)', () => {
  const reject = (sdp: string): string => sdp.replace(/m=application \d+/, 'm=application 0');

  it('ends the channels and the transports; the next offer brings others, with the same certificate', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const ends = await pair.connect();
    for (const pc of [a, b]) if (pc.connectionState !== 'connected') await once(pc, 'connectionstatechange');
    const { sctp } = a;
    const fingerprint = /a=fingerprint:.*/.exec(a.localDescription!.sdp)?.[0];
    const states: string[] = [];
    a.oniceconnectionstatechange = () => states.push(`ice ${a.iceConnectionState}`);
    a.onconnectionstatechange = () => states.push(`connection ${a.connectionState}`);
    a.onicegatheringstatechange = () => states.push(`gathering ${a.iceGatheringState}`);
    const closed = Promise.all(ends.map((end) => once(end, 'close')));
    await negotiate(a, b, (sdp, type) => (type === 'offer' ? reject(sdp) : sdp));
    expect([a.sctp, b.sctp]).toEqual([null, null]);
    await closed;
    await expect.poll(() => states).toEqual(['gathering new', 'ice new', 'connection new']);
    expect([sctp?.state, sctp?.transport.state, sctp?.transport.iceTransport.state]).toEqual([
      'closed',
      'closed',
      'closed',
    ]);

    const channel = a.createDataChannel('again');
    const announced = once<Event & { channel: RTCDataChannel }>(b, 'datachannel');
    await negotiate(a, b);
    const { channel: other } = await announced;
    await untilState(channel, 'open');
    const received = once<MessageEvent>(other, 'message');
    channel.send('over other transports');
    expect((await received).data).toBe('over other transports');
    expect(a.sctp).not.toBe(sctp);
    expect(a.localDescription!.sdp.match(/^m=/gm)).toHaveLength(1);
    expect(a.localDescription!.sdp).toContain(fingerprint);
    await expect.poll(() => states.at(-1)).toBe('connection connected');
    expect(states.filter((state) => state.startsWith('gathering'))).toEqual([
      'gathering new',
      'gathering gathering',
      'gathering complete',
    ]);
  });
});

describe('offers with media', () => {
  const AUDIO = [
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'c=IN IP4 0.0.0.0',
    'a=rtcp:9 IN IP4 0.0.0.0',
    'a=mid:audio',
    'a=sendrecv',
    'a=rtcp-mux',
    'a=rtpmap:111 opus/48000/2',
    '',
  ].join('\r\n');

  it('audio in front of the data section is rejected with port 0, and the channel opens', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const channel = a.createDataChannel('x');
    await a.setLocalDescription();
    // What a browser with a microphone would have offered.
    const { sdp } = a.localDescription!;
    const at = sdp.indexOf('m=application');
    const ufrag = /a=ice-ufrag:.*\r\na=ice-pwd:.*\r\n/.exec(sdp)?.[0] ?? '';
    const fingerprint = /a=fingerprint:.*\r\na=setup:.*\r\n/.exec(sdp)?.[0] ?? '';
    const mixed = (sdp.slice(0, at) + AUDIO + ufrag + fingerprint + sdp.slice(at)).replace(
      'BUNDLE 0',
      'BUNDLE audio 0',
    );
    await b.setRemoteDescription({ type: 'offer', sdp: mixed });
    await b.setLocalDescription();
    const answer = b.localDescription!.sdp;
    expect(answer).toMatch(/m=audio 0 UDP\/TLS\/RTP\/SAVPF 111\r\n/);
    expect(answer).toContain('a=group:BUNDLE 0\r\n');
    expect(answer.match(/^m=/gm)).toHaveLength(2);
    // The offerer made no audio section: take it out of the answer again.
    const audio = answer.slice(answer.indexOf('m=audio'), answer.indexOf('m=application'));
    await a.setRemoteDescription({ type: 'answer', sdp: answer.replace(audio, '') });
    await untilState(channel, 'open');
  });
});

const otherFingerprint = (sdp: string): string =>
  sdp.replace(/(a=fingerprint:sha-256 )(..)/, (_, name: string, byte: string) => name + (byte === '00' ? '01' : '00'));

const tlsIdOf = (pc: RTCPeerConnection): string | undefined =>
  /a=tls-id:(\S+)/.exec(pc.localDescription?.sdp ?? '')?.[1];

describe('another DTLS association on one connection (RFC 8842 §4, RFC 9429 §5.11)', () => {
  async function stillWorks([channel, other]: readonly [RTCDataChannel, RTCDataChannel]): Promise<void> {
    const received = once<MessageEvent>(other, 'message');
    channel.send('still here');
    expect((await received).data).toBe('still here');
  }

  it('a=tls-id stays while the association does, and answers only an offer that has one (RFC 8842 §5.3)', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const ends = await pair.connect();
    const before = [tlsIdOf(a), tlsIdOf(b)];
    expect(before).toEqual([expect.stringMatching(/^.{20,}$/), expect.stringMatching(/^.{20,}$/)]);
    expect(before[0]).not.toBe(before[1]);
    a.restartIce();
    await negotiate(b, a);
    await negotiate(a, b);
    expect([tlsIdOf(a), tlsIdOf(b)]).toEqual(before);
    // As from a browser, none of which writes it.
    await negotiate(a, b, (sdp) => sdp.replace(/a=tls-id:.*\r\n/, ''));
    expect([tlsIdOf(a), tlsIdOf(b)]).toEqual([before[0], undefined]);
    await negotiate(b, a);
    expect([tlsIdOf(a), tlsIdOf(b)]).toEqual(before);
    await stillWorks(ends);
  });

  it('another fingerprint without an ICE restart is refused in an offer', async () => {
    pair = new Pair();
    const ends = await pair.connect();
    const sdp = otherFingerprint((await pair.a.createOffer()).sdp ?? '');
    const refused = { name: 'InvalidAccessError' };
    await expect(pair.b.setRemoteDescription({ type: 'offer', sdp })).rejects.toMatchObject(refused);
    expect(pair.b.signalingState).toBe('stable');
    await stillWorks(ends);
  });

  it('and in an answer', async () => {
    pair = new Pair();
    const ends = await pair.connect();
    await pair.a.setLocalDescription();
    await pair.b.setRemoteDescription(pair.a.localDescription!);
    await pair.b.setLocalDescription();
    const sdp = otherFingerprint(pair.b.localDescription!.sdp);
    const refused = { name: 'InvalidAccessError' };
    await expect(pair.a.setRemoteDescription({ type: 'answer', sdp })).rejects.toMatchObject(refused);
    expect(pair.a.signalingState).toBe('have-local-offer');
    await pair.a.setRemoteDescription(pair.b.localDescription!);
    await stillWorks(ends);
  });

  it('a caller hands over to another callee: the old channels end, new ones open both ways', async () => {
    pair = new Pair();
    const { a } = pair;
    const [channel] = await pair.connect();
    if (a.connectionState !== 'connected') await once(a, 'connectionstatechange');
    const certificate = () => new Uint8Array(a.sctp!.transport.getRemoteCertificates()[0]!);
    const before = certificate();
    const log: string[] = [];
    a.onconnectionstatechange = () => log.push(a.connectionState);
    a.sctp!.transport.onstatechange = () => log.push(`dtls ${a.sctp?.transport.state}`);
    channel.onerror = ({ error }) => log.push(error.errorDetail);
    const closed = once(channel, 'close');
    const second = new RTCPeerConnection(LOOPBACK);
    trickle(a, second);
    await a.setLocalDescription(await a.createOffer({ iceRestart: true }));
    await second.setRemoteDescription(a.localDescription!);
    await second.setLocalDescription();
    await a.setRemoteDescription(second.localDescription!);
    const announced = once<Event & { channel: RTCDataChannel }>(a, 'datachannel');
    const theirs = second.createDataChannel('back');
    const { channel: mine } = await announced;
    const received = once<MessageEvent>(theirs, 'message');
    mine.send('hello again');
    expect((await received).data).toBe('hello again');
    await closed;
    expect(log.filter((entry) => entry !== 'disconnected')).toEqual([
      'dtls connecting',
      'connecting',
      'dtls connected',
      'connected',
      'sctp-failure',
    ]);
    expect(certificate()).not.toEqual(before);
    expect(a.sctp!.state).toBe('connected');
    const ours = a.createDataChannel('and forth');
    await untilState(ours, 'open');
    second.close();
  });

  it('another callee takes a call over with an offer of its own', async () => {
    pair = new Pair();
    const { a } = pair;
    const [old] = await pair.connect();
    const closed = once(old, 'close');
    const before = tlsIdOf(a);
    const second = new RTCPeerConnection(LOOPBACK);
    // So that sections and mids fit, it answers the first offer for nobody.
    await second.setRemoteDescription(a.localDescription!);
    await second.setLocalDescription();
    trickle(a, second);
    await second.setLocalDescription(await second.createOffer({ iceRestart: true }));
    await a.setRemoteDescription(second.localDescription!);
    await a.setLocalDescription();
    await second.setRemoteDescription(a.localDescription!);
    await closed; // the new peer has restarted SCTP
    expect(tlsIdOf(a)).not.toBe(before);
    expect([tlsIdOf(a)?.length, tlsIdOf(second)?.length]).toEqual([24, 24]);
    const announced = once<Event & { channel: RTCDataChannel }>(second, 'datachannel');
    const mine = a.createDataChannel('taken over');
    const { channel: theirs } = await announced;
    await untilState(mine, 'open');
    await stillWorks([mine, theirs]);
    second.close();
  });

  it('a final answer of the peer that has answered provisionally changes nothing', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const channel = a.createDataChannel('x');
    const announced = once<Event & { channel: RTCDataChannel }>(b, 'datachannel');
    await a.setLocalDescription();
    await b.setRemoteDescription(a.localDescription!);
    await b.setLocalDescription({ type: 'pranswer' });
    await a.setRemoteDescription(b.localDescription!);
    await untilState(channel, 'open'); // while the exchange is still open
    const { channel: other } = await announced;
    expect([a.signalingState, b.signalingState]).toEqual(['have-remote-pranswer', 'have-local-pranswer']);
    await b.setLocalDescription({ type: 'answer' });
    await a.setRemoteDescription(b.localDescription!);
    expect([a.signalingState, b.signalingState]).toEqual(['stable', 'stable']);
    await stillWorks([channel, other]);
  });
});

describe('another SCTP association on one connection (RFC 8841 §9.3)', () => {
  const withPort = (sdp: string, port: number): string => sdp.replace(/a=sctp-port:\d+/, `a=sctp-port:${port}`);
  const portOf = (pc: RTCPeerConnection): string | undefined =>
    /a=sctp-port:(\d+)/.exec(pc.localDescription?.sdp ?? '')?.[1];

  /** An exchange whose offer has another port. */
  async function exchange({ a, b }: Pair, port: number): Promise<void> {
    await a.setLocalDescription({ type: 'offer', sdp: withPort((await a.createOffer()).sdp ?? '', port) });
    await b.setRemoteDescription(a.localDescription!);
    await b.setLocalDescription();
    await a.setRemoteDescription(b.localDescription!);
  }

  it('another port closes the channels and begins anew over the same DTLS association', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const ends = await pair.connect();
    const log: string[] = [];
    const before = a.sctp!;
    before.onstatechange = () => log.push(`old sctp ${before.state}`);
    ends[0].onerror = () => log.push('error');
    ends[0].onclose = () => log.push(`close ${ends[0].readyState}`);
    before.transport.onstatechange = () => log.push('dtls changes');
    const closed = Promise.all(ends.map((end) => once(end, 'close')));
    await exchange(pair, 5001);
    expect([portOf(a), portOf(b)]).toEqual(['5001', '5001']);
    await closed;
    expect(log).toEqual(['old sctp closed', 'close closed']);
    expect(a.sctp).not.toBe(before);
    expect([a.sctp!.transport, a.sctp!.maxMessageSize]).toEqual([before.transport, 262_144]);
    const announced = once<Event & { channel: RTCDataChannel }>(b, 'datachannel');
    const channel = a.createDataChannel('new');
    await untilState(channel, 'open');
    const { channel: far } = await announced;
    const received = once<MessageEvent>(channel, 'message');
    far.send('works');
    expect((await received).data).toBe('works');
    expect([channel.id, a.sctp!.state, b.sctp!.state, before.state]).toEqual([
      ends[0].id,
      'connected',
      'connected',
      'closed',
    ]);
    // Exchanges about something else leave it alone, and so do those of the other side.
    await negotiate(b, a);
    await negotiate(a, b);
    expect([portOf(a), portOf(b), channel.readyState]).toEqual(['5001', '5001', 'open']);
    const stats = [...(await a.getStats()).values()].find(({ type }) => type === 'peer-connection');
    expect(stats).toMatchObject({ dataChannelsOpened: 2, dataChannelsClosed: 1 });
  });

  it('an answerer whose own port was changed on the way takes the next one; a rollback changes nothing', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const [channel, far] = await pair.connect();
    await b.setRemoteDescription({ type: 'offer', sdp: withPort((await a.createOffer()).sdp ?? '', 5001) });
    await b.setRemoteDescription({ type: 'rollback', sdp: '' });
    const received = once<MessageEvent>(far, 'message');
    channel.send('still here');
    expect((await received).data).toBe('still here');
    await exchange(pair, 6000);
    await exchange(pair, 6000); // the same: nothing
    expect([portOf(a), portOf(b)]).toEqual(['6000', '6000']);
    const own = b.createDataChannel('other way');
    await untilState(own, 'open');
  });

  it('port 0 ends data only; the next exchange has it again (RFC 8841 §10.5)', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const ends = await pair.connect();
    const { transport } = a.sctp!;
    const closed = Promise.all(ends.map((end) => once(end, 'close')));
    await exchange(pair, 0);
    expect([portOf(a), portOf(b), a.sctp, b.sctp]).toEqual(['0', '0', null, null]);
    await closed;
    expect([transport.state, a.connectionState, b.connectionState]).toEqual(['connected', 'connected', 'connected']);
    await a.setLocalDescription({ type: 'offer', sdp: withPort((await a.createOffer()).sdp ?? '', 0) });
    expect(a.sctp).toBeNull(); // it describes no association
    await a.setLocalDescription({ type: 'rollback' });
    const waiting = a.createDataChannel('waits');
    await negotiate(a, b);
    expect([portOf(a), portOf(b), a.sctp!.transport]).toEqual(['5000', '5000', transport]);
    await untilState(waiting, 'open');
    expect(a.sctp!.state).toBe('connected');
  });
});
