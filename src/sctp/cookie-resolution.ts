import type { Tcb } from './tcb.ts';

/**
 * What a valid COOKIE ECHO means while a TCB exists or is being made: RFC 9260 §5.2.4, Table 12, by its letters.
 *
 * - `establish`: there is no TCB (§5.1 D)
 * - `restart`: action A
 * - `collision`: action B
 * - `late`: action C
 * - `duplicate`: action D
 * - `discard`: no row of the table
 */
export type CookieResolution = 'establish' | 'restart' | 'collision' | 'late' | 'duplicate' | 'discard';

/** Our side of the table; a tag is undefined while it is not known. */
export interface ExistingTags {
  readonly localTag: number | undefined;
  readonly peerTag: number | undefined;
  readonly localTieTag: number | undefined;
  readonly peerTieTag: number | undefined;
}

/** Names the decision before anybody acts on it. */
export function resolveCookie(cookie: Tcb, existing: ExistingTags): CookieResolution {
  if (existing.localTag === undefined) return 'establish';
  const localMatches = cookie.localTag === existing.localTag;
  const peerMatches = existing.peerTag !== undefined && cookie.peerTag === existing.peerTag;
  if (localMatches) return peerMatches ? 'duplicate' : 'collision';
  const tied = cookie.localTieTag !== 0 || cookie.peerTieTag !== 0;
  if (peerMatches) return tied ? 'discard' : 'late';
  const tiesMatch = cookie.localTieTag === existing.localTieTag && cookie.peerTieTag === existing.peerTieTag;
  return tied && tiesMatch ? 'restart' : 'discard';
}
