import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/core/index.ts';
import {
  applyDescription,
  attributeValue,
  attributeValues,
  candidateSection,
  createAnswer,
  dataSectionOf,
  hasAttribute,
  NEW_JSEP_SESSION,
  parseSdp,
  rollback,
  SdpError,
  type SessionDescription,
  sameTransports,
  withCandidate,
  withDefaultCandidate,
  withEndOfCandidates,
  writeSdp,
} from '../../src/sdp/index.ts';
import { seeds } from '../sim/index.ts';
import { SeededRandom } from '../sim/random.ts';
import { exchange, Peer } from './jsep-peer.ts';
import { AV, vector } from './vectors.ts';

const contentError = expect.objectContaining({ name: 'SdpError', line: 0 });

describe('offer and answer', () => {
  it('the first exchange settles the sections, the roles and that DTLS is new', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    const { completed, answered } = exchange(a, b);
    expect([a.session.state, b.session.state]).toEqual(['stable', 'stable']);
    expect(completed.agreement).toMatchObject({
      dtlsRole: 'server',
      newDtlsAssociation: true,
      local: { index: 0, mid: '0', transport: { ufrag: 'aaaa0' } },
      remote: { index: 0, mid: '0', transport: { ufrag: 'bbbb0', sctpPort: 5000, maxMessageSize: 262_144 } },
    });
    expect(answered.agreement).toMatchObject({ dtlsRole: 'client', local: { transport: { ufrag: 'bbbb0' } } });
    expect(a.session).toMatchObject({
      pendingLocal: undefined,
      pendingRemote: undefined,
      currentLocal: { type: 'offer' },
      currentRemote: { type: 'answer' },
    });
    expect(b.session).toMatchObject({
      pendingLocal: undefined,
      currentLocal: { type: 'answer' },
      currentRemote: { type: 'offer' },
    });
  });

  it('a later offer changes nothing that it need not: same mid, actpass again, roles kept, DTLS continued', () => {
    const [a, b] = [new Peer('a', true), new Peer('b', true)];
    exchange(a, b, a.offer(), 'passive');
    const { offer, answer, completed, offered } = exchange(b, a, b.offer(), 'passive');
    expect(attributeValue(offer.media[0]!, 'setup')).toBe('actpass');
    expect(attributeValue(offer.media[0]!, 'mid')).toBe('0');
    expect(attributeValue(answer.media[0]!, 'setup')).toBe('active'); // a was the client, whatever it wishes now
    expect(completed.agreement).toMatchObject({ dtlsRole: 'server', newDtlsAssociation: false });
    expect([offered.iceRestart, completed.iceRestart]).toEqual([false, false]);
  });

  it('without a wish for data there is nothing to offer', () => {
    const offer = new Peer('a').offer(false);
    expect(offer.media).toEqual([]);
    expect(offer.attributes).toEqual([]);
  });

  it('the version grows, the id stays', () => {
    const a = new Peer('a');
    expect([a.offer(), a.offer()].map((o) => `${o.origin.sessionId} ${o.origin.sessionVersion}`)).toEqual([
      '1 0',
      '1 1',
    ]);
  });

  it('a tls-id is answered only where one was offered (RFC 8842 §5.3), and its absence later is no change', () => {
    const [a, b] = [new Peer('a', true), new Peer('b')];
    const first = exchange(a, b);
    expect(attributeValue(first.answer.media[0]!, 'tls-id')).toBeUndefined();
    const back = exchange(b, a);
    expect(attributeValue(back.answer.media[0]!, 'tls-id')).toBeUndefined();
    expect(back.completed.agreement?.newDtlsAssociation).toBe(false);
  });
});

describe('order of sections, rejection and recycling (RFC 9429 §5.2.2)', () => {
  /** Chrome offers audio, video and data, and we answer; then we offer. */
  function answered(): Peer {
    const us = new Peer('u');
    us.apply('remote', 'offer', parseSdp(vector(AV)));
    us.apply('local', 'answer', us.answer());
    return us;
  }

  it('a re-offer keeps rejected sections where they are', () => {
    const us = answered();
    const offer = us.offer();
    expect(offer.media.map((m) => [m.media, m.port, attributeValue(m, 'mid')])).toEqual([
      ['audio', 0, '0'],
      ['video', 0, '1'],
      ['application', 9, '2'],
    ]);
    expect(attributeValues(offer, 'group')).toEqual(['BUNDLE 2']);
    expect(us.apply('local', 'offer', offer).data).toMatchObject({ index: 2, mid: '2' });
  });

  it('new data takes over the first rejected section, under a new mid', () => {
    const us = new Peer('u');
    const media = parseSdp(vector(AV));
    us.apply('remote', 'offer', {
      ...media,
      media: media.media.slice(0, 2),
      attributes: [{ name: 'group', value: 'BUNDLE 0 1' }],
    });
    us.apply('local', 'answer', us.answer());
    expect(us.session.agreement).toBeUndefined();
    const offer = us.offer();
    expect(offer.media.map((m) => [m.media, m.port, attributeValue(m, 'mid')])).toEqual([
      ['application', 9, '2'],
      ['video', 0, '1'],
    ]);
    us.apply('local', 'offer', offer);
    // Made again before the answer, it is the same: the waiting offer is the base.
    expect(us.offer().media).toEqual(offer.media);
    // And the peer takes it, as the recycling of a rejected section.
    const them = new Peer('t');
    them.session = {
      ...us.session,
      state: 'stable',
      pendingLocal: undefined,
      currentLocal: us.session.currentRemote,
      currentRemote: us.session.currentLocal,
    };
    them.apply('remote', 'offer', offer);
    expect(them.apply('local', 'answer', them.answer()).agreement).toMatchObject({ newDtlsAssociation: true });
  });

  it('data that the peer rejected comes back in the same place', () => {
    const us = new Peer('u');
    us.apply('local', 'offer', us.offer());
    us.apply('remote', 'answer', parseSdp(vector('node-webrtc 0.2: data channel rejected')));
    expect(us.session.agreement).toBeUndefined();
    expect(us.offer(false).media.map((m) => m.port)).toEqual([0]);
    expect(us.offer().media.map((m) => [m.port, attributeValue(m, 'mid')])).toEqual([[9, '1']]);
  });

  it('data that is not wanted any more but in use is offered all the same', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    exchange(a, b);
    expect(a.offer(false).media[0]?.port).toBe(9);
  });

  it('new data behind sections of which none is free comes last', () => {
    const us = new Peer('u');
    const model = parseSdp(vector(AV));
    // A local description of our own with live audio cannot be: a peer with media would have one.
    us.session = {
      ...NEW_JSEP_SESSION,
      currentLocal: { type: 'answer', model: { ...model, media: model.media.slice(0, 1) } },
      currentRemote: { type: 'offer', model: { ...model, media: model.media.slice(0, 1) } },
    };
    const offer = us.offer();
    expect(offer.media.map((m) => [m.media, attributeValue(m, 'mid')])).toEqual([
      ['audio', '0'],
      ['application', '1'],
    ]);
  });

  it.each<[string, (offer: SessionDescription) => SessionDescription]>([
    ['a section removed', (o) => ({ ...o, media: o.media.slice(0, 2) })],
    [
      'another media in a section in use',
      (o) => ({ ...o, media: o.media.map((m, i) => (i === 2 ? { ...m, media: 'video' } : m)) }),
    ],
    [
      'another mid in a section in use',
      (o) => ({
        ...o,
        media: o.media.map((m, i) => (i === 2 ? { ...m, attributes: [{ name: 'mid', value: '9' }] } : m)),
      }),
    ],
    ['sections in another order', (o) => ({ ...o, media: [...o.media].reverse() })],
  ])('a remote re-offer with %s is refused and changes nothing', (_, change) => {
    const us = answered();
    const before = us.session;
    expect(() => us.apply('remote', 'offer', change(parseSdp(vector(AV))))).toThrow(contentError);
    expect(us.session).toBe(before);
    us.apply('remote', 'offer', parseSdp(vector(AV)));
  });
});

describe('what an answer must be (RFC 9429 §5.8.3)', () => {
  const good = () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    const offer = a.offer();
    a.apply('local', 'offer', offer);
    b.apply('remote', 'offer', offer);
    return { a, answer: writeSdp(b.answer()) };
  };
  it.each<[string, (answer: string) => string]>([
    ['a section too many', (t) => `${t}m=audio 0 RTP/AVP 0\r\n`],
    ['a section too few', (t) => t.slice(0, t.indexOf('m='))],
    ['another media', (t) => t.replace('m=application', 'm=text')],
    ['another proto', (t) => t.replace('UDP/DTLS/SCTP', 'UDP/TLS/UDPTL')],
    ['another mid', (t) => t.replace('a=mid:0', 'a=mid:1')],
    ['actpass', (t) => t.replace('a=setup:active', 'a=setup:actpass')],
    ['no ICE credentials', (t) => t.replace(/a=ice-ufrag[^\r]*\r\n/, '')],
    ['no fingerprint', (t) => t.replace(/a=fingerprint[^\r]*\r\n/, '')],
    ['a BUNDLE group that was not offered', (t) => t.replace('BUNDLE 0', 'BUNDLE 0 7')],
  ])('not with %s', (_, change) => {
    const { a, answer } = good();
    const before = a.session;
    expect(change(answer)).not.toBe(answer);
    expect(() => a.apply('remote', 'answer', parseSdp(change(answer)))).toThrow(contentError);
    expect(a.session).toBe(before);
    a.apply('remote', 'answer', parseSdp(answer));
  });

  it('nor accept what was not offered', () => {
    const us = new Peer('u');
    us.session = {
      ...NEW_JSEP_SESSION,
      state: 'have-local-offer',
      pendingLocal: { type: 'offer', model: parseSdp(vector('node-webrtc 0.2: data channel rejected')) },
    };
    expect(() => us.apply('remote', 'answer', parseSdp(vector('Chrome: answer with a data channel')))).toThrow(
      contentError,
    );
  });

  it('an offer with holdconn is refused', () => {
    const offer = vector('Chrome: offer with a data channel').replace('actpass', 'holdconn');
    expect(() => new Peer('u').apply('remote', 'offer', parseSdp(offer))).toThrow(contentError);
  });

  it('real answers are accepted', () => {
    for (const name of ['Chrome: answer with a data channel', 'pion: answer with a data channel after gathering']) {
      const us = new Peer('u');
      us.apply('local', 'offer', us.offer());
      expect(us.apply('remote', 'answer', parseSdp(vector(name))).agreement).toMatchObject({ dtlsRole: 'server' });
    }
  });

  it.each<[string, number, (answer: string) => string]>([
    ['a default candidate over TCP (RFC 8841 §12.2)', 5000, (t) => t.replace('UDP/DTLS/SCTP', 'TCP/DTLS/SCTP')],
    [
      'the form of the drafts, whatever was offered, as pion before 3.0 writes it',
      5001,
      (t) =>
        t
          .replace('UDP/DTLS/SCTP webrtc-datachannel', 'DTLS/SCTP 5001')
          .replace('a=sctp-port:5000', 'a=sctpmap:5001 webrtc-datachannel 1024'),
    ],
  ])('with %s', (_, sctpPort, change) => {
    const { a, answer } = good();
    expect(change(answer)).not.toBe(answer);
    const { agreement, session } = a.apply('remote', 'answer', parseSdp(change(answer)));
    expect(agreement?.remote.transport.sctpPort).toBe(sctpPort);
    expect(session.state).toBe('stable');
    a.apply('local', 'offer', a.offer()); // and the next exchange is as any other
    a.apply('remote', 'answer', parseSdp(change(answer)));
  });

  it('the exchanges of RFC 9429 §7 go through, section by section', () => {
    for (const name of ['A1', 'B1', 'C1', 'C2']) {
      const us = applyDescription(NEW_JSEP_SESSION, 'remote', 'offer', parseSdp(vector(`offer-${name}`)));
      const done = applyDescription(us.session, 'local', 'answer', parseSdp(vector(`answer-${name}`)));
      expect(done.session.state).toBe('stable');
    }
  });
});

describe('random negotiations', () => {
  it.each(seeds(60))('seed %i: two peers that offer, restart, roll back and re-offer always agree', (seed) => {
    const random = new SeededRandom(seed);
    const [a, b] = [new Peer('a', random.chance(0.5)), new Peer('b', random.chance(0.5))];
    let roleOfA: string | undefined;
    for (let i = 0; i < 30; i++) {
      const [x, y] = random.chance(0.5) ? [a, b] : [b, a];
      const restarts = random.chance(0.3);
      if (restarts) x.newCredentials();
      if (restarts && x.transport.tlsId !== undefined && random.chance(0.5)) x.newTlsId();
      const mediaFirst = x.session.currentLocal === undefined && random.chance(0.3);
      if (random.chance(0.2)) {
        const glare = x.offer();
        x.apply('local', 'offer', glare);
        x.session = rollback(x.session, 'local');
      }
      const base = x.offer();
      const audio = parseSdp(vector(AV)).media[0]!;
      const offer = mediaFirst
        ? { ...base, media: [...base.media, { ...audio, attributes: [{ name: 'mid', value: 'av' }] }] }
        : base;
      const { completed, answered, answer } = exchange(x, y, offer, random.pick(['active', 'passive']));
      const [mine, theirs] = [completed.agreement!, answered.agreement!];
      expect(mine.dtlsRole).not.toBe(theirs.dtlsRole);
      expect(mine.newDtlsAssociation).toBe(theirs.newDtlsAssociation);
      expect(mine.local).toEqual(theirs.remote);
      expect(mine.remote).toEqual(theirs.local);
      const role = x === a ? mine.dtlsRole : theirs.dtlsRole;
      if (!mine.newDtlsAssociation) expect(role).toBe(roleOfA);
      roleOfA = role;
      expect(answer.media.length).toBe(a.session.currentLocal?.model.media.length);
      expect(dataSectionOf(answer)?.index).toBe(0);
    }
  });
});

describe('candidates and changes to our own descriptions', () => {
  const model = new Peer('a').offer();
  const candidate = 'candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host';

  it('candidates are added in order, each once, and the end after them', () => {
    let changed = withCandidate(model, 0, candidate);
    changed = withCandidate(changed, 0, `a=${candidate.replace('5000', '5001')}`);
    changed = withCandidate(changed, 0, candidate);
    changed = withEndOfCandidates(changed, 0);
    changed = withDefaultCandidate(changed, 0, { ip: '2001:db8::1', port: 5000 });
    const lines = writeSdp(changed).split('\r\n');
    expect(lines.slice(5, 10)).toEqual([
      'm=application 5000 UDP/DTLS/SCTP webrtc-datachannel',
      'c=IN IP6 2001:db8::1',
      `a=${candidate}`,
      `a=${candidate.replace('5000', '5001')}`,
      'a=end-of-candidates',
    ]);
    expect(model.media[0]?.attributes.some(({ name }) => name === 'candidate')).toBe(false);
  });

  it('candidates of a section that shares the transport of another stand there', () => {
    const name = 'Chromium 156: offer with audio, video and a data channel under max-bundle';
    const us = new Peer('u');
    us.apply('remote', 'offer', parseSdp(vector(name)));
    us.transport = { ...us.transport, candidates: [candidate] };
    const { transport } = us;
    const answer = createAnswer(us.session, { origin: us.origin, transport, bundlePolicy: 'max-bundle' });
    const placed = (m: SessionDescription) => m.media.map((s) => attributeValues(s, 'candidate').length);
    expect(placed(answer)).toEqual([1, 0, 0]);
    expect(candidateSection(answer, 2)).toBe(0);
    expect(placed(withCandidate(answer, 2, candidate.replace('5000', '5001')))).toEqual([2, 0, 0]);
    expect(hasAttribute(withEndOfCandidates(answer, 2).media[0]!, 'end-of-candidates')).toBe(true);
    expect(dataSectionOf(answer)).toMatchObject({ index: 2, transport: { candidates: [candidate] } });
    us.apply('local', 'answer', answer);
    expect(placed(us.offer())).toEqual([1, 0, 0]);
    // Alone, or with a rejected section in front, it has its own.
    expect(candidateSection(model, 0)).toBe(0);
    const balanced = createAnswer(
      { ...us.session, state: 'have-remote-offer', pendingRemote: us.session.currentRemote },
      { origin: us.origin, transport },
    );
    expect(placed(balanced)).toEqual([0, 0, 1]);
    expect(candidateSection(balanced, 2)).toBe(2);
    expect(candidateSection(balanced, 9)).toBe(9);
  });

  it('what is no candidate or no section is refused', () => {
    expect(() => withCandidate(model, 0, 'x')).toThrow(UsageError);
    expect(() => withCandidate(model, 0, `${candidate}\r\na=x`)).toThrow(UsageError);
    expect(() => withCandidate(model, 1, candidate)).toThrow(UsageError);
    expect(() => withEndOfCandidates(model, -1)).toThrow(UsageError);
    const rejected = parseSdp(vector('node-webrtc 0.2: data channel rejected'));
    expect(() => withDefaultCandidate(rejected, 0, { ip: '192.0.2.1', port: 1 })).toThrow(UsageError);
  });

  it('tells harmless changes from others', () => {
    const text = writeSdp(model);
    const same = (change: (t: string) => string) => sameTransports(model, parseSdp(change(text)));
    expect(same((t) => t)).toBe(true);
    expect(same((t) => t.replace('a=ice-options:trickle ice2\r\n', ''))).toBe(true);
    expect(same((t) => t.replace('aaaa0', 'aaaa1'))).toBe(false);
    expect(same((t) => t.replace('actpass', 'active'))).toBe(false);
    expect(same((t) => t.replace('a=mid:0', 'a=mid:1').replace('BUNDLE 0', 'BUNDLE 1'))).toBe(false);
    expect(same((t) => t.replace('m=application 9', 'm=application 0'))).toBe(false);
    expect(new SdpError('x').line).toBe(0);
  });
});
