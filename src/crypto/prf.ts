import { type CryptoBackend, type HashName, utf8 } from '../core/index.ts';

/** HMAC (RFC 2104) of the concatenation of `parts` in one call. For many MACs under one key use `createMac`. */
export function hmac(
  backend: CryptoBackend,
  hash: HashName,
  key: Uint8Array,
  ...parts: readonly Uint8Array[]
): Uint8Array {
  return backend.createMac(hash, key).sign(...parts);
}

/**
 * The pseudorandom function of TLS 1.2: `P_hash(secret, label + seed)` (RFC 5246 §5).
 *
 * ```text
 * P_hash(secret, seed) = HMAC_hash(secret, A(1) + seed) + HMAC_hash(secret, A(2) + seed) + ...
 * A(0) = seed    A(i) = HMAC_hash(secret, A(i-1))
 * ```
 * @param hash - the hash of the cipher suite, SHA-256 at least.
 * @param label - ASCII, such as `master secret`.
 * @param length - bytes of output.
 */
export function prf(
  backend: CryptoBackend,
  hash: HashName,
  secret: Uint8Array,
  label: string,
  seed: Uint8Array,
  length: number,
): Uint8Array {
  const mac = backend.createMac(hash, secret);
  const labelBytes = utf8(label);
  const out = new Uint8Array(length);
  let a: Uint8Array | undefined;
  for (let at = 0; at < length; at += mac.length) {
    a = a === undefined ? mac.sign(labelBytes, seed) : mac.sign(a); // A(1), A(2) …
    const block = mac.sign(a, labelBytes, seed);
    out.set(block.subarray(0, Math.min(block.length, length - at)), at);
  }
  return out;
}
