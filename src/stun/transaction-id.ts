import type { Env } from '../core/index.ts';
import { TRANSACTION_ID_BYTES } from './message-type.ts';

/** A new transaction ID (RFC 8489 §5: "uniformly and randomly chosen … cryptographically random"). */
export function newTransactionId(env: Env): Uint8Array {
  const id = new Uint8Array(TRANSACTION_ID_BYTES);
  env.random(id);
  return id;
}

/** A transaction ID as a map key: one character a byte, so that it costs no hexadecimal. Not for people. */
export function transactionKey(id: Uint8Array): string {
  let key = '';
  for (let i = 0; i < id.length; i++) key += String.fromCharCode(id[i] ?? 0);
  return key;
}
