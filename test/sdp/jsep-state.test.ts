import { describe, expect, it } from 'vitest';
import {
  implicitDescriptionType,
  needsImplicitRollback,
  nextSignalingState,
  resolveGlare,
  type SdpType,
  SIGNALING_MOVES,
  type Side,
  type SignalingState,
} from '../../src/sdp/index.ts';

const STATES: readonly SignalingState[] = [
  'stable',
  'have-local-offer',
  'have-remote-offer',
  'have-local-pranswer',
  'have-remote-pranswer',
  'closed',
];
const SIDES: readonly Side[] = ['local', 'remote'];
const TYPES: readonly SdpType[] = ['offer', 'pranswer', 'answer', 'rollback'];

/** RFC 9429 §5.5, §5.6 and the W3C's rollback rule, written out once more as a list: state, side, type, next. */
const LEGAL = new Map(
  [
    'stable local offer have-local-offer',
    'stable remote offer have-remote-offer',
    'have-local-offer local offer have-local-offer',
    'have-local-offer remote pranswer have-remote-pranswer',
    'have-local-offer remote answer stable',
    'have-local-offer local rollback stable',
    'have-local-offer remote rollback stable',
    'have-remote-offer remote offer have-remote-offer',
    'have-remote-offer local pranswer have-local-pranswer',
    'have-remote-offer local answer stable',
    'have-remote-offer local rollback stable',
    'have-remote-offer remote rollback stable',
    'have-local-pranswer local pranswer have-local-pranswer',
    'have-local-pranswer local answer stable',
    'have-remote-pranswer remote pranswer have-remote-pranswer',
    'have-remote-pranswer remote answer stable',
  ].map((line) => [line.split(' ').slice(0, 3).join(' '), line.split(' ')[3]]),
);
const every = STATES.flatMap((state) => SIDES.flatMap((side) => TYPES.map((type) => ({ state, side, type }))));

describe('signalling states (RFC 9429 §3.2, W3C RTCSignalingState)', () => {
  it.each(every)('$state, $side $type', ({ state, side, type }) => {
    expect(nextSignalingState(state, side, type)).toBe(LEGAL.get(`${state} ${side} ${type}`));
  });

  it('every state but closed is left and reached', () => {
    for (const state of STATES) {
      const moves = Object.values(SIGNALING_MOVES[state]);
      expect(moves.length > 0).toBe(state !== 'closed');
    }
  });

  it.each(every)(
    'a rollback comes by itself before $side $type in $state only where one helps',
    ({ state, side, type }) => {
      const expected = side === 'remote' && type === 'offer' && state === 'have-local-offer';
      expect(needsImplicitRollback(state, side, type)).toBe(expected);
    },
  );

  it('setLocalDescription() without a description makes what fits', () => {
    expect(STATES.map(implicitDescriptionType)).toEqual(['offer', 'offer', 'answer', 'answer', 'offer', undefined]);
  });
});

describe('glare (perfect negotiation)', () => {
  it.each<[SignalingState, SdpType, boolean, boolean, string]>([
    // state, type, polite, making an offer
    ['stable', 'offer', true, false, 'apply'],
    ['stable', 'offer', false, false, 'apply'],
    ['stable', 'offer', true, true, 'apply'],
    ['stable', 'offer', false, true, 'ignore'],
    ['have-local-offer', 'offer', true, false, 'rollback-and-apply'],
    ['have-local-offer', 'offer', false, false, 'ignore'],
    ['have-local-offer', 'offer', true, true, 'rollback-and-apply'],
    ['have-local-offer', 'answer', false, false, 'apply'],
    ['have-local-offer', 'answer', false, true, 'apply'],
    ['have-remote-offer', 'offer', true, false, 'apply'],
    ['have-remote-offer', 'offer', false, false, 'ignore'],
    ['have-remote-pranswer', 'answer', false, false, 'apply'],
  ])('%s, %s, polite %s, making an offer %s: %s', (state, type, polite, makingOffer, decision) => {
    expect(resolveGlare(state, type, polite, makingOffer)).toBe(decision);
  });
});
