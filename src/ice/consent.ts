import { type Env, type Instant, NEVER } from '../core/index.ts';
import type { Checklist } from './checklist.ts';
import { CONSENT_EXPIRY_MS, CONSENT_INTERVAL_MS, MAX_WARM_PAIRS } from './limits.ts';
import type { CandidatePair } from './pair.ts';

/*
 * Consent freshness (RFC 7675 §5.1). A pair's consent begins with its first success and is renewed by every
 * authenticated answer; consent checks go out every 4 to 6 s on the pairs that carry data or stand ready to; a pair
 * whose requests have not been answered for 30 s may not be sent to any more.
 */

const MIN_SHARE = 0.8;
const MAX_SHARE = 1.2;

/** "each interval MUST be randomized from between 0.8 and 1.2 times the basic period". */
function consentInterval(env: Env): number {
  const random = new Uint8Array(2);
  env.random(random);
  return CONSENT_INTERVAL_MS * (MIN_SHARE + ((MAX_SHARE - MIN_SHARE) * ((random[0]! << 8) | random[1]!)) / 0xffff);
}

/** An answer came: consent for 30 s from now. */
export function renewConsent(pair: CandidatePair, env: Env, now: Instant): void {
  pair.heardAt = now;
  pair.answeredAt = now;
  pair.consentExpiresAt = now + CONSENT_EXPIRY_MS;
  if (pair.consentAt === NEVER) pair.consentAt = now + consentInterval(env);
}

/** A lite agent sends no checks (RFC 8445 §2.5): the peer's own are the only sign of its consent. */
export function renewConsentOfLite(pair: CandidatePair, now: Instant): void {
  pair.heardAt = now;
  pair.answeredAt = now;
  pair.consentExpiresAt = now + CONSENT_EXPIRY_MS;
}

/**
 * The next consent check follows from the last deadline; behind a late one from now, where "less than 4 seconds" would lie
 * between the two (RFC 7675 §5.1).
 */
export function scheduleNextConsent(pair: CandidatePair, env: Env, now: Instant): void {
  pair.consentAt += consentInterval(env);
  if (pair.consentAt < now + MIN_SHARE * CONSENT_INTERVAL_MS) pair.consentAt = now + consentInterval(env);
}

/** Pairs that consent is kept for: those in use, and the best of the other valid ones. */
export function isKeptWarm(
  pair: CandidatePair,
  checklist: Checklist,
  selection: { readonly selected: CandidatePair | undefined; readonly nominated: CandidatePair | undefined },
): boolean {
  const { selected, nominated } = selection;
  if (pair === selected || pair === nominated) return true;
  const others = checklist.pairs.filter((other) => other.valid && other !== selected && other !== nominated);
  const rank = others.indexOf(pair);
  return rank >= 0 && rank < MAX_WARM_PAIRS;
}
