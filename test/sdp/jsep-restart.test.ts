import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/core/index.ts';
import {
  applyDescription,
  attributeValue,
  JsepStateError,
  offerRestartsIce,
  parseSdp,
  rollback,
  writeSdp,
} from '../../src/sdp/index.ts';
import { exchange, Peer } from './jsep-peer.ts';
import { FINGERPRINT } from './local.ts';
import { AV, vector } from './vectors.ts';

const contentError = expect.objectContaining({ name: 'SdpError', line: 0 });

function offerTo(answerer: Peer, offerer: Peer): void {
  const offer = offerer.offer();
  offerer.apply('local', 'offer', offer);
  answerer.apply('remote', 'offer', offer);
}

describe('ICE restart and DTLS (RFC 9429 §5.10, §5.11, RFC 8842)', () => {
  it('new credentials restart ICE on both sides and continue DTLS', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    exchange(a, b);
    a.newCredentials();
    const { offered, answered, completed } = exchange(a, b);
    expect([offered.iceRestart, answered.iceRestart, completed.iceRestart]).toEqual([true, true, true]);
    expect(completed.agreement).toMatchObject({ newDtlsAssociation: false, local: { transport: { ufrag: 'aaaa1' } } });
  });

  it('an answer that does not restart with the offer is refused, and so is one that does alone', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    exchange(a, b);
    b.newCredentials();
    offerTo(b, a);
    expect(offerRestartsIce(b.session)).toBe(false);
    expect(() => b.apply('local', 'answer', b.answer())).toThrow(contentError);

    const [c, d] = [new Peer('c'), new Peer('d')];
    exchange(c, d);
    c.newCredentials();
    offerTo(d, c);
    expect(offerRestartsIce(d.session)).toBe(true);
    expect(() => c.apply('remote', 'answer', d.answer())).toThrow(contentError);
  });

  it('a new tls-id with new credentials replaces the DTLS association, and the roles are free again', () => {
    const [a, b] = [new Peer('a', true), new Peer('b', true)];
    exchange(a, b);
    a.newCredentials();
    a.newTlsId();
    const { completed } = exchange(a, b, a.offer(), 'passive');
    expect(completed.agreement).toMatchObject({ newDtlsAssociation: true, dtlsRole: 'client' });
  });

  it('a new tls-id or fingerprint without an ICE restart is refused', () => {
    const [a, b] = [new Peer('a', true), new Peer('b', true)];
    exchange(a, b);
    a.newTlsId();
    expect(() => exchange(a, b)).toThrow(contentError);
    const [c, d] = [new Peer('c'), new Peer('d')];
    exchange(c, d);
    c.transport = { ...c.transport, fingerprints: [{ ...FINGERPRINT, value: FINGERPRINT.value.replace('01', 'FF') }] };
    expect(() => exchange(c, d)).toThrow(contentError);
  });

  it('so it is in an offer, before anybody answers (RFC 9429 §5.11), on either side', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    exchange(a, b);
    a.transport = { ...a.transport, fingerprints: [{ ...FINGERPRINT, value: FINGERPRINT.value.replace('01', 'FF') }] };
    expect(() => b.apply('remote', 'offer', a.offer())).toThrow(contentError);
    expect(() => a.apply('local', 'offer', a.offer())).toThrow(contentError);
    a.newCredentials();
    expect(b.apply('remote', 'offer', a.offer())).toMatchObject({ session: { state: 'have-remote-offer' } });
  });

  it('a final answer goes on with what the provisional one has begun; one of somebody else does not', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    const offer = a.offer();
    a.apply('local', 'offer', offer);
    b.apply('remote', 'offer', offer);
    const answer = b.answer();
    const begun = a.apply('remote', 'pranswer', answer);
    expect(begun.agreement).toMatchObject({ newDtlsAssociation: true, newSctpAssociation: true });
    const other = { ...FINGERPRINT, value: FINGERPRINT.value.replace('01', 'FF') };
    const forked = new Peer('c');
    forked.transport = { ...forked.transport, fingerprints: [other] };
    forked.apply('remote', 'offer', offer);
    const elsewhere = applyDescription(a.session, 'remote', 'answer', forked.answer());
    expect(elsewhere.agreement).toMatchObject({ newDtlsAssociation: true, newSctpAssociation: false });
    const settled = a.apply('remote', 'answer', answer);
    expect(settled.agreement).toMatchObject({ newDtlsAssociation: false, newSctpAssociation: false });
    expect(settled.session.provisional).toBeUndefined();
  });

  it('another SCTP port asks for a new association over the same DTLS, port 0 for none (RFC 8841 §9.3)', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    expect(exchange(a, b).completed.agreement).toMatchObject({ newSctpAssociation: true });
    expect(exchange(a, b).completed.agreement).toMatchObject({ newSctpAssociation: false });
    a.transport = { ...a.transport, sctpPort: 5001 };
    const moved = exchange(a, b);
    expect([moved.completed, moved.answered].map((c) => c.agreement)).toMatchObject([
      { newSctpAssociation: true, newDtlsAssociation: false },
      { newSctpAssociation: true, newDtlsAssociation: false },
    ]);
    expect(attributeValue(moved.answer.media[0]!, 'sctp-port')).toBe('5001');
    // Each side keeps its port where nobody asks for another, and answers another one with another one (§10.3).
    a.transport = { ...a.transport, sctpPort: undefined };
    expect(attributeValue(exchange(b, a).offer.media[0]!, 'sctp-port')).toBe('5001');
    a.transport = { ...a.transport, sctpPort: 5002 };
    b.transport = { ...b.transport, sctpPort: 5002 };
    exchange(a, b);
    b.transport = { ...b.transport, sctpPort: undefined };
    a.transport = { ...a.transport, sctpPort: 5003 };
    expect(attributeValue(exchange(a, b).answer.media[0]!, 'sctp-port')).toBe('5003');
    a.transport = { ...a.transport, sctpPort: 0 };
    const none = exchange(a, b);
    expect(attributeValue(none.answer.media[0]!, 'sctp-port')).toBe('0');
    expect(none.completed.agreement).toMatchObject({ newSctpAssociation: false });
    a.transport = { ...a.transport, sctpPort: 5001 };
    expect(exchange(a, b).completed.agreement).toMatchObject({ newSctpAssociation: true });
  });

  it('without tls-ids, a changed role asks for a new DTLS association and so for a restart', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    exchange(a, b); // b is the client
    const flipped = parseSdp(writeSdp(a.offer()).replace('actpass', 'active'));
    expect(() => exchange(a, b, flipped)).toThrow(contentError);
    const [c, d] = [new Peer('c'), new Peer('d')];
    exchange(c, d);
    c.newCredentials();
    const restarted = parseSdp(writeSdp(c.offer()).replace('actpass', 'active'));
    expect(exchange(c, d, restarted).completed.agreement).toMatchObject({
      newDtlsAssociation: true,
      dtlsRole: 'client',
    });
  });
});

describe('provisional answers and rollback', () => {
  it('a provisional answer settles for now, the final one replaces it', () => {
    const [a, b, c] = [new Peer('a'), new Peer('b'), new Peer('c')];
    const offer = a.offer();
    a.apply('local', 'offer', offer);
    for (const peer of [b, c]) peer.apply('remote', 'offer', offer);
    const provisional = b.apply('local', 'pranswer', b.answer());
    expect(b.session).toMatchObject({
      state: 'have-local-pranswer',
      pendingLocal: { type: 'pranswer' },
      currentLocal: undefined,
    });
    expect(provisional.agreement?.newDtlsAssociation).toBe(true);
    const first = a.apply('remote', 'pranswer', b.answer());
    expect(a.session.state).toBe('have-remote-pranswer');
    expect([first.iceRestart, first.agreement?.remote.transport.ufrag]).toEqual([false, 'bbbb0']);
    // Another callee takes the call: RFC 9429 §3.8.1, sequential forking.
    const final = a.apply('remote', 'answer', c.answer());
    expect([final.iceRestart, final.agreement?.remote.transport.ufrag]).toEqual([true, 'cccc0']);
    expect(a.session).toMatchObject({ state: 'stable', currentRemote: { type: 'answer' }, pendingRemote: undefined });
    b.apply('local', 'answer', b.answer());
    expect(b.session.state).toBe('stable');
  });

  it.each(['local', 'remote'] as const)('a %s rollback brings back what was', (side) => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    exchange(a, b);
    const [stableA, stableB] = [a.session, b.session];
    const offer = a.offer();
    a.apply('local', 'offer', offer);
    b.apply('remote', 'offer', offer);
    expect(rollback(a.session, side)).toEqual(stableA);
    expect(rollback(b.session, side)).toEqual(stableB);
  });

  it('is refused in stable and in both pranswer states', () => {
    const [a, b] = [new Peer('a'), new Peer('b')];
    expect(() => rollback(a.session, 'local')).toThrow(JsepStateError);
    const offer = a.offer();
    a.apply('local', 'offer', offer);
    b.apply('remote', 'offer', offer);
    a.apply('remote', 'pranswer', b.answer());
    b.apply('local', 'pranswer', b.answer());
    expect(() => rollback(a.session, 'remote')).toThrow(JsepStateError);
    expect(() => rollback(b.session, 'local')).toThrow(JsepStateError);
  });

  it('misuse is a UsageError: no offer to answer, a closed session, an answer in stable', () => {
    const a = new Peer('a');
    expect(() => a.answer()).toThrow(JsepStateError);
    expect(() => a.apply('remote', 'answer', a.offer())).toThrow(UsageError);
    a.session = { ...a.session, state: 'closed' };
    expect(() => a.offer()).toThrow(JsepStateError);
    expect(() => a.apply('remote', 'offer', parseSdp(vector(AV)))).toThrow(JsepStateError);
  });
});
