import { afterEach, describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK, negotiate, once, Pair, trickle, untilState } from './support.ts';

let pair: Pair | undefined;
afterEach(() => {
  expect(pair?.refused ?? []).toEqual([]);
  pair?.close();
  pair = undefined;
});

describe('the life of a connection', () => {
  it('goes through the states of the W3C, in their order', async () => {
    pair = new Pair();
    const { a } = pair;
    const seen: string[] = [];
    a.onnegotiationneeded = () => seen.push('negotiationneeded');
    a.onsignalingstatechange = () => seen.push(`signaling ${a.signalingState}`);
    a.onicegatheringstatechange = () => seen.push(`gathering ${a.iceGatheringState}`);
    a.oniceconnectionstatechange = () => seen.push(`ice ${a.iceConnectionState}`);
    a.onconnectionstatechange = () => seen.push(`connection ${a.connectionState}`);
    a.onicecandidate = ({ candidate }) =>
      seen.push(candidate === null ? 'null' : candidate.candidate === '' ? 'end' : 'candidate');
    const [channel] = await pair.connect();
    if (a.connectionState !== 'connected') await once(a, 'connectionstatechange');
    expect(channel.readyState).toBe('open');
    expect(seen.filter((s) => s.startsWith('signaling'))).toEqual(['signaling have-local-offer', 'signaling stable']);
    expect(seen.filter((s) => /gathering|candidate|end|null/.test(s))).toEqual([
      'gathering gathering',
      'candidate',
      'end',
      'gathering complete',
      'null',
    ]);
    expect(seen.filter((s) => s.startsWith('ice '))[0]).toBe('ice checking');
    expect(seen.filter((s) => s.startsWith('connection'))).toEqual(['connection connecting', 'connection connected']);
    expect(seen).not.toContain('negotiationneeded'); // the exchange came first
    expect(a.sctp?.state).toBe('connected');
    expect(a.sctp?.transport.state).toBe('connected');
    expect(a.sctp?.maxMessageSize).toBe(262_144);
    expect(a.sctp?.transport.iceTransport.getSelectedCandidatePair()?.local.address).toBe('127.0.0.1');
    expect(a.sctp?.transport.getRemoteCertificates()).toHaveLength(1);
    expect(a.localDescription!.sdp).toMatch(/\r\na=candidate:.*\r\na=end-of-candidates\r\n/);
  });

  it('works without trickling: all candidates in the descriptions', async () => {
    const a = new RTCPeerConnection(LOOPBACK);
    const b = new RTCPeerConnection(LOOPBACK);
    pair = Object.assign(new Pair(), { a, b });
    const gathered = (pc: RTCPeerConnection) =>
      new Promise<void>((resolve) => {
        pc.onicecandidate = ({ candidate }) => {
          if (candidate === null) resolve();
        };
      });
    const channel = a.createDataChannel('x');
    const [readyA, readyB] = [gathered(a), gathered(b)];
    await a.setLocalDescription();
    await readyA;
    await b.setRemoteDescription(a.localDescription!);
    await b.setLocalDescription();
    await readyB;
    await a.setRemoteDescription(b.localDescription!);
    await untilState(channel, 'open');
  });

  it('a wrong fingerprint never opens a channel', async () => {
    pair = new Pair();
    const { a, b } = pair;
    const channel = a.createDataChannel('never');
    let opened = false;
    channel.onopen = () => {
      opened = true;
    };
    b.ondatachannel = () => {
      opened = true;
    };
    const failed = once(a, 'connectionstatechange').then(function check(): unknown {
      return a.connectionState === 'failed' ? undefined : once(a, 'connectionstatechange').then(check);
    });
    const closed = once(channel, 'close');
    await negotiate(a, b, (sdp, type) =>
      type === 'answer'
        ? sdp.replace(
            /(a=fingerprint:sha-256 )(..)/,
            (_, head: string, byte: string) => head + (byte === '00' ? '01' : '00'),
          )
        : sdp,
    );
    await failed;
    await closed;
    expect(opened).toBe(false);
    expect(channel.readyState).toBe('closed');
    expect(a.sctp?.transport.state).toBe('failed');
  });

  it('closing a channel is seen by the other side, and its id can be used again', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const closing = once(b, 'closing');
    const both = Promise.all([once(a, 'close'), once(b, 'close')]);
    a.close();
    expect(a.readyState).toBe('closing');
    await closing;
    await both;
    expect([a.readyState, b.readyState]).toEqual(['closed', 'closed']);
    const again = pair.a.createDataChannel('again');
    await untilState(again, 'open');
    expect(again.id).toBe(a.id);
  });

  it('closing the connection is seen by the other side', async () => {
    pair = new Pair();
    const [a, b] = await pair.connect();
    const events: string[] = [];
    for (const type of ['close', 'closing', 'error']) a.addEventListener(type, () => events.push(type));
    const closed = once(b, 'close');
    pair.a.close();
    expect(a.readyState).toBe('closed');
    expect(pair.a.connectionState).toBe('closed');
    expect(pair.a.iceConnectionState).toBe('closed');
    expect(pair.a.signalingState).toBe('closed');
    const dtls = pair.b.sctp!.transport;
    await Promise.all([closed, once(dtls, 'statechange')]);
    expect(b.readyState).toBe('closed');
    expect(dtls.state).toBe('closed');
    expect(events).toEqual([]); // W3C: close() is abrupt and fires nothing
  });

  it('renegotiates: channels after the first need no exchange, and a second exchange changes nothing', async () => {
    pair = new Pair();
    const [first] = await pair.connect();
    const announced = once<Event & { channel: { label: string } }>(pair.b, 'datachannel');
    const second = pair.a.createDataChannel('second');
    expect((await announced).channel.label).toBe('second');
    await untilState(second, 'open');
    await negotiate(pair.a, pair.b);
    await negotiate(pair.b, pair.a);
    expect([first.readyState, second.readyState]).toEqual(['open', 'open']);
  });

  it('leaves nothing behind: no socket and no timer', async () => {
    const before = process.getActiveResourcesInfo().filter((kind) => kind === 'UDPWRAP').length;
    for (let i = 0; i < 5; i++) {
      const a = new RTCPeerConnection(LOOPBACK);
      const b = new RTCPeerConnection(LOOPBACK);
      trickle(a, b);
      const channel = a.createDataChannel('x');
      await negotiate(a, b);
      await untilState(channel, 'open');
      a.close();
      b.close();
    }
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    const after = process.getActiveResourcesInfo().filter((kind) => kind === 'UDPWRAP').length;
    expect(after).toBe(before);
  });
});
