/**
 * The IANA registry "STUN Error Codes" (RFC 8489 §14.8, RFC 8656 §19, RFC 8445 §16.2, RFC 6062 §6.3, RFC 8016 §3.5)
 * with the recommended reason phrases.
 */
export const STUN_ERROR_REASONS = {
  300: 'Try Alternate',
  400: 'Bad Request',
  401: 'Unauthenticated',
  403: 'Forbidden',
  405: 'Mobility Forbidden',
  420: 'Unknown Attribute',
  437: 'Allocation Mismatch',
  438: 'Stale Nonce',
  440: 'Address Family not Supported',
  441: 'Wrong Credentials',
  442: 'Unsupported Transport Protocol',
  443: 'Peer Address Family Mismatch',
  446: 'Connection Already Exists',
  447: 'Connection Timeout or Failure',
  486: 'Allocation Quota Reached',
  487: 'Role Conflict',
  500: 'Server Error',
  508: 'Insufficient Capacity',
} as const;

export type StunErrorCode = keyof typeof STUN_ERROR_REASONS;

/** An ERROR-CODE value with the registry's phrase. */
export function stunError(code: StunErrorCode): { readonly code: StunErrorCode; readonly reason: string } {
  return { code, reason: STUN_ERROR_REASONS[code] };
}
