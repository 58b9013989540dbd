import type { IceConnectionState } from './types.ts';

/** What the state follows from. */
export interface ConnectionFacts {
  readonly closed: boolean;
  /** It has been something else than new before: after a restart it is checking, not new. */
  readonly begun: boolean;
  /** The verdict has been given (it stands until a restart). */
  readonly failed: boolean;
  /** A pair carries data. */
  readonly hasSelected: boolean;
  /** It is not silent. */
  readonly alive: boolean;
  /** It belongs to the generation before a restart. */
  readonly ofPrevious: boolean;
  readonly nominated: boolean;
  /** Checks under way, or to come. */
  readonly pending: boolean;
  /** A remote candidate is known, signalled or peer-reflexive. */
  readonly hasRemote: boolean;
  /** Pairs that were checked. */
  readonly hasPairs: boolean;
  /** Local candidates are all known. */
  readonly gathered: boolean;
  /** The peer has said that there are no more. */
  readonly remoteEnded: boolean;
}

/** W3C RTCIceTransportState (webrtc-pc §5.6.4), derived from facts instead of moved by hand. */
export function deriveConnectionState(facts: ConnectionFacts): IceConnectionState {
  if (facts.closed) return 'closed';
  if (facts.failed) return 'failed';
  // A restart begun while disconnected leads to checking, "effectively forgetting that connectivity was previously lost".
  if (facts.hasSelected && (facts.alive || !facts.ofPrevious)) {
    if (!facts.alive) return 'disconnected';
    // "finished gathering, received an indication that there are no more remote candidates, finished checking"
    return facts.nominated && facts.gathered && facts.remoteEnded ? 'completed' : 'connected';
  }
  if (!facts.hasRemote) return facts.begun ? 'checking' : 'new';
  // "has finished checking all existing candidates pairs and not found a connection …, but it is still gathering and/or
  // waiting for additional remote candidates"
  return facts.hasPairs && !facts.pending ? 'disconnected' : 'checking';
}
