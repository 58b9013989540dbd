import { expect } from 'vitest';
import {
  applyDescription,
  createAnswer,
  createOffer,
  type JsepChange,
  type JsepSession,
  type LocalOrigin,
  type LocalTransport,
  NEW_JSEP_SESSION,
  offerRestartsDtls,
  offerRestartsIce,
  parseSdp,
  type SessionDescription,
  writeSdp,
} from '../../src/sdp/index.ts';
import { FINGERPRINT } from './local.ts';

/** One side of a negotiation in a test: a session, credentials and a version. */
export class Peer {
  session: JsepSession = NEW_JSEP_SESSION;
  last: JsepChange | undefined;
  transport: LocalTransport;
  readonly #name: string;
  #version = 0;
  #generation = 0;

  constructor(name: string, tlsId = false) {
    this.#name = name;
    this.transport = {
      ufrag: '',
      pwd: '',
      fingerprints: [FINGERPRINT],
      tlsId: tlsId ? `${name.repeat(24)}0` : undefined,
    };
    this.newCredentials();
  }

  newCredentials(): void {
    const n = this.#generation++;
    this.transport = { ...this.transport, ufrag: `${this.#name.repeat(4)}${n}`, pwd: `${this.#name.repeat(24)}${n}` };
  }

  newTlsId(): void {
    this.transport = { ...this.transport, tlsId: `${this.#name.repeat(24)}${this.#generation++}` };
  }

  get origin(): LocalOrigin {
    return { sessionId: '1', sessionVersion: this.#version++ };
  }

  offer(wantsData = true): SessionDescription {
    return asWritten(createOffer(this.session, { origin: this.origin, transport: this.transport, wantsData }));
  }

  answer(setup?: 'active' | 'passive'): SessionDescription {
    return asWritten(createAnswer(this.session, { origin: this.origin, transport: this.transport, setup }));
  }

  apply(side: 'local' | 'remote', type: 'offer' | 'pranswer' | 'answer', model: SessionDescription): JsepChange {
    this.last = applyDescription(this.session, side, type, parseSdp(writeSdp(model)));
    this.session = this.last.session;
    return this.last;
  }
}

/** What is created can be applied as it is, without a way over its text: a connection does so. */
function asWritten(model: SessionDescription): SessionDescription {
  expect(parseSdp(writeSdp(model))).toStrictEqual(model);
  return model;
}

export interface Exchange {
  readonly offer: SessionDescription;
  readonly answer: SessionDescription;
  /** What the offer changed for the answerer, and the answer for it and for the offerer. */
  readonly offered: JsepChange;
  readonly answered: JsepChange;
  readonly completed: JsepChange;
}

/** One exchange, both sides; the answerer renews what the offer asks it to. */
export function exchange(
  a: Peer,
  b: Peer,
  offer: SessionDescription = a.offer(),
  setup?: 'active' | 'passive',
): Exchange {
  a.apply('local', 'offer', offer);
  const offered = b.apply('remote', 'offer', offer);
  if (offerRestartsIce(b.session)) b.newCredentials();
  if (offerRestartsDtls(b.session) && b.transport.tlsId !== undefined) b.newTlsId();
  const answer = b.answer(setup);
  const answered = b.apply('local', 'answer', answer);
  const completed = a.apply('remote', 'answer', answer);
  return { offer, answer, offered, answered, completed };
}
