import { DecodeError, type Env, type TransportAddress } from '../core/index.ts';
import {
  encodeStun,
  type IntegrityAlgorithm,
  type IntegrityKey,
  newTransactionId,
  STUN_METHODS,
  type StunAttribute,
  type StunErrorCode,
  type StunMessage,
  stunError,
  transactionKey,
} from '../stun/index.ts';
import { MAX_PRIORITY } from './candidate.ts';
import type { IceRole } from './types.ts';

/*
 * The messages of a connectivity check (RFC 8445 §7.1, §16.1), as short-term credentials protect them (§7.2.2):
 *
 *   request:  USERNAME  PRIORITY  ICE-CONTROLLING | ICE-CONTROLLED  [USE-CANDIDATE]  MESSAGE-INTEGRITY  FINGERPRINT
 *   success:  XOR-MAPPED-ADDRESS  MESSAGE-INTEGRITY  FINGERPRINT
 *   error:    ERROR-CODE  [UNKNOWN-ATTRIBUTES]  MESSAGE-INTEGRITY  FINGERPRINT
 */

/** RFC 8445 §16.2. */
export const ROLE_CONFLICT = 487;

/** RFC 7675 §5.2: the peer revokes its consent. */
export const FORBIDDEN = 403;

/** RFC 8489 §6.3.1. */
export const UNKNOWN_ATTRIBUTE = 420;

/** What an authenticated Binding request says. */
export interface CheckRequest {
  readonly transactionId: Uint8Array;
  /** The part of USERNAME behind the colon: the sender's ufrag. */
  readonly remoteUfrag: string;
  readonly priority: number;
  /** The role the sender claims; undefined where it sends neither attribute (not an ICE agent of any RFC). */
  readonly role: IceRole | undefined;
  readonly tieBreaker: bigint;
  readonly useCandidate: boolean;
  /** What it is protected with, and so what its response is (RFC 8489 §9.1.3). */
  readonly algorithm: IntegrityAlgorithm;
}

/** What an authenticated Binding response says. */
export type CheckResponse =
  | { readonly type: 'success'; readonly mapped: TransportAddress }
  | { readonly type: 'error'; readonly code: number }
  /** Its transaction has failed. */
  | { readonly type: 'unusable'; readonly reason: 'missing' | 'unsupported'; readonly detail: string };

export interface CheckFields {
  readonly username: string;
  readonly key: IntegrityKey;
  readonly priority: number;
  readonly role: IceRole;
  readonly tieBreaker: bigint;
  readonly useCandidate: boolean;
}

/** @returns the message, and its transaction as a map key. */
export function encodeCheck(env: Env, check: CheckFields): { readonly id: string; readonly bytes: Uint8Array } {
  const transactionId = newTransactionId(env);
  const role = check.role === 'controlling' ? 'ICE-CONTROLLING' : 'ICE-CONTROLLED';
  const attributes: StunAttribute[] = [
    ['USERNAME', check.username],
    ['PRIORITY', check.priority],
    [role, check.tieBreaker],
  ];
  if (check.useCandidate) attributes.push(['USE-CANDIDATE', true]);
  const bytes = encodeStun({
    messageClass: 'request',
    method: STUN_METHODS.Binding,
    transactionId,
    attributes,
    integrity: [{ key: check.key, algorithm: 'sha-1' }],
    fingerprint: true,
  });
  return { id: transactionKey(transactionId), bytes };
}

/** RFC 8445 §11: no authentication, and FINGERPRINT alone. */
export function encodeKeepalive(env: Env): Uint8Array {
  const transactionId = newTransactionId(env);
  return encodeStun({ messageClass: 'indication', method: STUN_METHODS.Binding, transactionId, fingerprint: true });
}

/** A Binding request to a STUN server: no credentials (RFC 8445 §5.1.1.2). */
export function encodeGatheringRequest(env: Env): { readonly id: string; readonly bytes: Uint8Array } {
  const transactionId = newTransactionId(env);
  const bytes = encodeStun({ messageClass: 'request', method: STUN_METHODS.Binding, transactionId, fingerprint: true });
  return { id: transactionKey(transactionId), bytes };
}

/** The request that a response answers. */
export type Answered = Pick<CheckRequest, 'transactionId' | 'algorithm'>;

/** @param mapped - the sender as we see it (RFC 8445 §7.3.1.2). */
export function encodeBindingSuccess(
  { transactionId, algorithm }: Answered,
  key: IntegrityKey,
  mapped: TransportAddress,
): Uint8Array {
  return encodeStun({
    messageClass: 'success',
    method: STUN_METHODS.Binding,
    transactionId,
    attributes: [['XOR-MAPPED-ADDRESS', mapped]],
    integrity: [{ key, algorithm }],
    fingerprint: true,
  });
}

export function encodeBindingError(
  { transactionId, algorithm }: Answered,
  key: IntegrityKey,
  code: StunErrorCode,
  unknownAttributes: readonly number[] = [],
): Uint8Array {
  const attributes: StunAttribute[] = [['ERROR-CODE', stunError(code)]];
  if (unknownAttributes.length > 0) attributes.push(['UNKNOWN-ATTRIBUTES', unknownAttributes]);
  return encodeStun({
    messageClass: 'error',
    method: STUN_METHODS.Binding,
    transactionId,
    attributes,
    integrity: [{ key, algorithm }],
    fingerprint: true,
  });
}

/** USERNAME in its two parts (RFC 8445 §7.2.2): the receiver's ufrag, then the sender's. @throws {DecodeError} */
export function readUsername(message: StunMessage): { readonly ours: string; readonly theirs: string } {
  const username = message.require('USERNAME');
  const colon = username.indexOf(':');
  if (colon < 0) throw new DecodeError('bad-value', 'USERNAME', message.valueOffset('USERNAME'));
  return { ours: username.slice(0, colon), theirs: username.slice(colon + 1) };
}

/**
 * Reads a request whose integrity has been verified with `algorithm`.
 * @throws {DecodeError} `missing`, `bad-value`, `bad-length` …
 */
export function readCheckRequest(
  message: StunMessage,
  remoteUfrag: string,
  algorithm: IntegrityAlgorithm,
): CheckRequest {
  const controlling = message.get('ICE-CONTROLLING');
  const controlled = message.get('ICE-CONTROLLED');
  if (controlling !== undefined && controlled !== undefined) throw new DecodeError('bad-value', 'ICE-CONTROLLED', 0);
  const role = controlling !== undefined ? 'controlling' : controlled !== undefined ? 'controlled' : undefined;
  return {
    transactionId: message.transactionId.slice(),
    remoteUfrag,
    // The attribute has 32 bits; pair priorities need the 31 of RFC 8839 §5.1.
    priority: Math.min(Math.max(message.require('PRIORITY'), 1), MAX_PRIORITY),
    role,
    tieBreaker: controlling ?? controlled ?? 0n,
    useCandidate: message.has('USE-CANDIDATE'),
    algorithm,
  };
}

/** Reads a response. @throws {DecodeError} when an attribute is malformed or an error has no code. */
export function readCheckResponse(message: StunMessage): CheckResponse {
  // RFC 8489 §6.3.3, §6.3.4: "the response is discarded and the transaction is considered to have failed".
  if (message.unknownRequired().length > 0)
    return { type: 'unusable', reason: 'unsupported', detail: 'comprehension-required attribute' };
  if (message.messageClass === 'error') return { type: 'error', code: message.require('ERROR-CODE').code };
  const mapped = message.get('XOR-MAPPED-ADDRESS');
  if (mapped === undefined) return { type: 'unusable', reason: 'missing', detail: 'XOR-MAPPED-ADDRESS' };
  return { type: 'success', mapped };
}
