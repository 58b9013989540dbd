import type { Instant } from '../core/index.ts';
import type { Checklist } from './checklist.ts';
import { AGGRESSIVE_NOMINATION_WINDOW_MS, NOMINATION_GRACE_DIRECT_MS, NOMINATION_GRACE_RELAY_MS } from './limits.ts';
import type { CandidatePair } from './pair.ts';

/**
 * Which pair is nominated and when (RFC 8445 §8.1.1 leaves both to the agent), as pure functions of the checklist.
 *
 * Data does not wait for any of this: it goes over the best valid pair at once (§12.1). So nominating can afford to wait
 * a little for a better pair, and a pair that nothing better is pending for is nominated at once.
 */

/** A pair through a relay on either side. */
export function isRelayed(pair: CandidatePair): boolean {
  return pair.local.candidate.type === 'relay' || pair.remote.candidate.type === 'relay';
}

/**
 * Whether a direct pair has come where a relayed one is nominated. RFC 8445 §8.1.1 would stay with the first nomination;
 * libwebrtc does not, and every peer that understands aggressive nomination takes the pair of higher priority. What a lost
 * datagram in the beginning decides else is who pays for the relay for hours.
 */
export function isBetterKind(pair: CandidatePair | undefined, nominated: CandidatePair): boolean {
  return pair !== undefined && isRelayed(nominated) && !isRelayed(pair);
}

/** Anything authenticated or any data came lately, and our own requests are answered. */
export function isAlive(pair: CandidatePair, now: Instant, disconnectedMs: number): boolean {
  return now < silentAt(pair, disconnectedMs);
}

/**
 * When the pair will count as silent. Hearing the peer is not enough: where only one direction works, its checks come
 * in while ours stay unanswered.
 */
export function silentAt(pair: CandidatePair, disconnectedMs: number): Instant {
  return Math.min(pair.heardAt + disconnectedMs, pair.answeredAt + 2 * disconnectedMs);
}

/** The valid pair of highest priority among those that `accept` lets through. The checklist is sorted. */
export function bestValid(checklist: Checklist, accept: (pair: CandidatePair) => boolean): CandidatePair | undefined {
  return checklist.pairs.find((pair) => pair.valid && accept(pair));
}

/**
 * Until when the controlling agent holds back the nomination of `best`.
 * @param firstValidAt - when the first pair of this generation became valid.
 * @param directMayCome - candidates of either side may still be trickled, and ours may be others than relayed ones.
 */
export function nominationDue(
  checklist: Checklist,
  best: CandidatePair,
  firstValidAt: Instant,
  directMayCome: boolean,
): Instant {
  const betterPending = checklist.pairs.some((pair) => pair.pending && !pair.valid && pair.comparePriority(best) > 0);
  // A relayed pair also waits for candidates that may still come: the direct ones usually come later than the relay's.
  if (!betterPending && !(isRelayed(best) && directMayCome)) return firstValidAt;
  return firstValidAt + (isRelayed(best) ? NOMINATION_GRACE_RELAY_MS : NOMINATION_GRACE_DIRECT_MS);
}

/**
 * Controlled side: whether a nomination of `next` replaces the nominated `current`.
 *
 * RFC 8445 §8.1.1 knows one nomination, and from RFC 5245 peers several at once ("aggressive"), of which the highest
 * priority counts. libwebrtc goes further: it repeats USE-CANDIDATE on its selected pair for as long as it is selected,
 * and moves it to another pair, of any priority, when it switches. So a pair of lower priority replaces one that has not
 * been nominated again for a while, or that is silent.
 */
export function replacesNomination(
  current: CandidatePair | undefined,
  next: CandidatePair,
  currentAlive: boolean,
  now: Instant,
): boolean {
  if (current === undefined || current === next || !current.valid || !currentAlive) return true;
  if (next.comparePriority(current) > 0) return true;
  return now - current.nominatedAt >= AGGRESSIVE_NOMINATION_WINDOW_MS;
}
