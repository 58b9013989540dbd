import { describe, expect, it } from 'vitest';
import {
  applyDescription,
  attributeValues,
  createAnswer,
  createOffer,
  type JsepChange,
  type JsepSession,
  type LocalTransport,
  NEW_JSEP_SESSION,
  parseSdp,
  type SessionDescription,
} from '../../src/sdp/index.ts';
import { LOCAL } from './local.ts';
import { vector } from './vectors.ts';

/** Our half of an exchange with a recorded Chromium; it accepted every description that is made here. */
class Us {
  session: JsepSession = NEW_JSEP_SESSION;
  transport: LocalTransport = LOCAL;
  #version = 1;

  get #origin() {
    return { sessionId: '77', sessionVersion: this.#version++ };
  }

  receive(type: 'offer' | 'answer', name: string): JsepChange {
    const change = applyDescription(this.session, 'remote', type, parseSdp(vector(`Chromium 156: ${name}`)));
    this.session = change.session;
    return change;
  }

  answer(bundlePolicy: 'balanced' | 'max-bundle' = 'balanced'): { change: JsepChange; sdp: SessionDescription } {
    const sdp = createAnswer(this.session, { origin: this.#origin, transport: this.transport, bundlePolicy });
    return { change: this.#set('answer', sdp), sdp };
  }

  offer(): { change: JsepChange; sdp: SessionDescription } {
    const sdp = createOffer(this.session, { origin: this.#origin, transport: this.transport, wantsData: true });
    return { change: this.#set('offer', sdp), sdp };
  }

  #set(type: 'offer' | 'answer', sdp: SessionDescription): JsepChange {
    const change = applyDescription(this.session, 'local', type, sdp);
    this.session = change.session;
    return change;
  }

  restart(generation: number): void {
    this.transport = { ...LOCAL, ufrag: `Bb+${generation}`, pwd: `zbcdefghijklmnopqrstuv${generation}` };
  }
}

const ports = ({ media }: SessionDescription) => media.map((m) => m.port);

describe('recorded exchanges with Chromium', () => {
  it('data: offer, later offer, ICE restart by it, ICE restart by us', () => {
    const us = new Us();
    us.receive('offer', 'offer with a data channel');
    expect(us.answer().change.agreement).toMatchObject({ dtlsRole: 'client', newDtlsAssociation: true });
    expect(us.receive('offer', 'its offer after that was answered').iceRestart).toBe(false);
    expect(us.answer().change.agreement).toMatchObject({ newDtlsAssociation: false, newSctpAssociation: false });
    expect(us.receive('offer', 'its offer with an ICE restart after that').iceRestart).toBe(true);
    us.restart(1);
    expect(us.answer().change).toMatchObject({ iceRestart: true, agreement: { newDtlsAssociation: false } });
    us.restart(2);
    us.offer();
    const done = us.receive('answer', 'its answer to our offer with an ICE restart after that');
    expect(done).toMatchObject({ iceRestart: true, agreement: { dtlsRole: 'client', newDtlsAssociation: false } });
  });

  it('it answers our first offer', () => {
    const us = new Us();
    us.offer();
    expect(us.receive('answer', 'answer with a data channel').agreement).toMatchObject({ dtlsRole: 'server' });
  });

  it('audio and video rejected, then offers both ways', () => {
    const us = new Us();
    us.receive('offer', 'offer with audio, video and a data channel');
    expect(ports(us.answer().sdp)).toEqual([0, 0, 9]);
    const offer = us.offer();
    expect(ports(offer.sdp)).toEqual([0, 0, 9]);
    us.receive('answer', 'its answer to our offer after audio and video were rejected');
    us.receive('offer', 'its offer after that');
    expect(us.answer().change.agreement).toMatchObject({ dtlsRole: 'client', newDtlsAssociation: false });
  });

  it('under max-bundle: audio idle for its transport, in offers both ways', () => {
    const us = new Us();
    us.receive('offer', 'offer with audio, video and a data channel under max-bundle');
    expect(ports(us.answer('max-bundle').sdp)).toEqual([9, 0, 9]);
    const { sdp } = us.offer();
    expect(ports(sdp)).toEqual([9, 0, 9]);
    expect(attributeValues(sdp, 'group')).toEqual(['BUNDLE 0 2']);
    us.receive('answer', 'its answer to our offer after audio was accepted as inactive');
    us.receive('offer', 'its offer after that, under max-bundle');
    const last = us.answer('max-bundle');
    expect(ports(last.sdp)).toEqual([9, 0, 9]);
    expect(last.change.agreement).toMatchObject({ dtlsRole: 'client', newDtlsAssociation: false });
  });

  it('a rejected audio section recycled for data', () => {
    const us = new Us();
    const offered = parseSdp(vector('Chromium 156: offer with audio, video and a data channel'));
    const media = {
      ...offered,
      media: offered.media.slice(0, 2),
      attributes: [{ name: 'group', value: 'BUNDLE 0 1' }],
    };
    us.session = applyDescription(us.session, 'remote', 'offer', media).session;
    expect(ports(us.answer().sdp)).toEqual([0, 0]);
    expect(us.offer().sdp.media.map((m) => m.media)).toEqual(['application', 'video']);
    const done = us.receive('answer', 'answer to an offer that recycles a rejected audio section for data');
    expect(done.agreement).toMatchObject({
      local: { index: 0, mid: '2' },
      dtlsRole: 'server',
      newDtlsAssociation: true,
    });
  });
});
