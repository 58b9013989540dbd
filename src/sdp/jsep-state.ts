/** W3C RTCSignalingState; RFC 9429 §3.2 draws the machine without `closed`. */
export type SignalingState =
  | 'stable'
  | 'have-local-offer'
  | 'have-remote-offer'
  | 'have-local-pranswer'
  | 'have-remote-pranswer'
  | 'closed';

/** W3C RTCSdpType (RFC 9429 §4.1.10). */
export type SdpType = 'offer' | 'pranswer' | 'answer' | 'rollback';

/** Whose description it is: `setLocalDescription` or `setRemoteDescription`. */
export type Side = 'local' | 'remote';

type Move = `${Side} ${SdpType}`;

/**
 * Every legal move (RFC 9429 §5.5, §5.6); what is not listed is an error.
 *
 * ```text
 *                      local offer                         remote offer
 *        ┌──────────────────────────────── stable ────────────────────────────────┐
 *        ▼            remote answer ▲    ▲    ▲    ▲ local answer                  ▼
 *  have-local-offer ────────────────┘    │    │    └──────────────── have-remote-offer
 *        │ remote pranswer               │    │                 local pranswer │
 *        ▼                 remote answer │    │ local answer                   ▼
 *  have-remote-pranswer ─────────────────┘    └─────────────────── have-local-pranswer
 * ```
 *
 * Rollback: RFC 9429 §5.7 allows it in every state but `stable`; the W3C's "set a session description" refuses it in both
 * pranswer states too, and so do browsers. The table follows the W3C.
 */
export const SIGNALING_MOVES: Readonly<Record<SignalingState, Readonly<Partial<Record<Move, SignalingState>>>>> = {
  stable: {
    'local offer': 'have-local-offer',
    'remote offer': 'have-remote-offer',
  },
  'have-local-offer': {
    'local offer': 'have-local-offer',
    'remote pranswer': 'have-remote-pranswer',
    'remote answer': 'stable',
    'local rollback': 'stable',
    'remote rollback': 'stable',
  },
  'have-remote-offer': {
    'remote offer': 'have-remote-offer',
    'local pranswer': 'have-local-pranswer',
    'local answer': 'stable',
    'local rollback': 'stable',
    'remote rollback': 'stable',
  },
  'have-local-pranswer': {
    'local pranswer': 'have-local-pranswer',
    'local answer': 'stable',
  },
  'have-remote-pranswer': {
    'remote pranswer': 'have-remote-pranswer',
    'remote answer': 'stable',
  },
  closed: {},
};

/** The state after a description is applied; undefined where it may not be (W3C InvalidStateError). */
export function nextSignalingState(state: SignalingState, side: Side, type: SdpType): SignalingState | undefined {
  return SIGNALING_MOVES[state][`${side} ${type}`];
}

/**
 * Whether a remote offer first rolls our own offer back: W3C `setRemoteDescription` does so by itself where the offer
 * would otherwise be illegal and a rollback is legal, which is in `have-local-offer` alone.
 */
export function needsImplicitRollback(state: SignalingState, side: Side, type: SdpType): boolean {
  return (
    side === 'remote' &&
    type === 'offer' &&
    nextSignalingState(state, side, type) === undefined &&
    nextSignalingState(state, 'local', 'rollback') !== undefined
  );
}

/**
 * What `setLocalDescription()` without arguments makes (W3C): an offer in `stable`, `have-local-offer` and
 * `have-remote-pranswer`, else an answer. Undefined when closed.
 */
export function implicitDescriptionType(state: SignalingState): 'offer' | 'answer' | undefined {
  switch (state) {
    case 'stable':
    case 'have-local-offer':
    case 'have-remote-pranswer':
      return 'offer';
    case 'have-remote-offer':
    case 'have-local-pranswer':
      return 'answer';
    case 'closed':
      return undefined;
  }
}

/**
 * Perfect negotiation (W3C §10.7): what to do with a description of the peer when both may offer at once. The polite side
 * gives way by rolling back, which applying the offer does by itself; the impolite side ignores the peer's offer.
 * @param makingOffer - whether our own offer is being made and not yet applied.
 */
export function resolveGlare(
  state: SignalingState,
  type: SdpType,
  polite: boolean,
  makingOffer: boolean,
): 'apply' | 'rollback-and-apply' | 'ignore' {
  if (type !== 'offer' || (state === 'stable' && !makingOffer)) return 'apply'; // no collision
  if (!polite) return 'ignore';
  return needsImplicitRollback(state, 'remote', type) ? 'rollback-and-apply' : 'apply';
}
