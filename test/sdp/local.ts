import type { DataAnswerParams, Fingerprint } from '../../src/sdp/index.ts';

/** 01:02:…:20 in hex, as a SHA-256 fingerprint. */
export const FINGERPRINT: Fingerprint = {
  algorithm: 'sha-256',
  value: Array.from({ length: 32 }, (_, i) => (i + 1).toString(16).padStart(2, '0').toUpperCase()).join(':'),
};

/** Our side of every test. */
export const LOCAL: DataAnswerParams = {
  origin: { sessionId: '4962303333179871722', sessionVersion: 1 },
  ufrag: 'Aa+/',
  pwd: 'abcdefghijklmnopqrstuv',
  fingerprints: [FINGERPRINT],
};
