/**
 * The one seam between the protocols and cryptography. An interface only, so that `Env` can name it and `io` can
 * implement it without `core` knowing any implementation. Two implementations pass the same vectors: `noble` (portable,
 * in `crypto`) and `node` (the runtime's own, in `io`). A core never names either.
 */

export type HashName = 'md5' | 'sha-1' | 'sha-224' | 'sha-256' | 'sha-384' | 'sha-512';

export type AeadName =
  | 'aes-128-gcm'
  | 'aes-256-gcm'
  | 'chacha20-poly1305'
  | 'aes-128-ccm' // 16-byte tag, RFC 6655
  | 'aes-128-ccm-8'; // 8-byte tag, RFC 6655

export type GroupName = 'x25519' | 'secp256r1' | 'secp384r1';

export type KeyType = 'ecdsa-p256' | 'ecdsa-p384' | 'ed25519' | 'rsa';

/** Signature schemes by their TLS names (RFC 8446 §4.2.3); ECDSA signatures are DER `Ecdsa-Sig-Value`s. */
export type SignatureScheme =
  | 'ecdsa_secp256r1_sha256'
  | 'ecdsa_secp384r1_sha384'
  | 'ecdsa_sha256' // TLS 1.2: the hash does not fix the curve
  | 'ecdsa_sha384'
  | 'ecdsa_sha512'
  | 'ed25519'
  | 'rsa_pkcs1_sha256'
  | 'rsa_pkcs1_sha384'
  | 'rsa_pkcs1_sha512'
  | 'rsa_pss_rsae_sha256'
  | 'rsa_pss_rsae_sha384'
  | 'rsa_pss_rsae_sha512';

/** The backend was asked for something it cannot do, or a peer's key is not a valid one. */
export class CryptoError extends Error {
  override readonly name = 'CryptoError';
  readonly code: 'unsupported' | 'invalid-key' | 'invalid-point' | 'zero-shared-secret';

  constructor(code: CryptoError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** A running hash. `digest` may be called at any time and does not end it (a handshake transcript is hashed midway). */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Hash of everything so far. */
  digest(): Uint8Array;
}

/** An HMAC key prepared once. */
export interface Mac {
  readonly length: number;
  /** HMAC of the concatenation of `parts`. The result is the caller's. */
  sign(...parts: readonly Uint8Array[]): Uint8Array;
}

/**
 * An AEAD key expanded once (RFC 5116). Works in place. The caller guarantees that no nonce is used twice; the record
 * layer asserts it.
 */
export interface AeadContext {
  readonly tagLength: number;
  /**
   * Encrypts `buffer[offset, offset + length)` in place and writes the tag directly behind it, so `tagLength` bytes must
   * be free there.
   * @param nonce - 12 bytes, borrowed.
   * @param aad - borrowed.
   */
  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void;
  /**
   * Authenticates and decrypts `buffer[offset, offset + length)`, `length` counting the tag, in place.
   * @returns the plaintext length, or -1 when it does not authenticate; the range is then unspecified.
   */
  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): number;
}

/** One ephemeral key exchange (RFC 8422 §5.4, RFC 7748 §6). */
export interface KeyShare {
  readonly group: GroupName;
  /** 32 bytes for X25519; an uncompressed point (0x04 ‖ X ‖ Y) for the NIST curves. */
  readonly publicKey: Uint8Array;
  /**
   * @returns the shared secret: the X25519 output, or the X coordinate, full length, leading zeros kept.
   * @throws {CryptoError} `invalid-point` off the curve or malformed; `zero-shared-secret` (RFC 7748 §6.1).
   */
  deriveSecret(peerPublicKey: Uint8Array): Uint8Array;
}

/** A private signature key. Never leaves its backend except by `exportPkcs8`. */
export interface SigningKey {
  readonly type: KeyType;
  /** The public half as a DER `SubjectPublicKeyInfo` (RFC 5280 §4.1). */
  readonly publicKeySpki: Uint8Array;
  /** @throws {CryptoError} `unsupported` when the scheme does not fit the key. */
  sign(scheme: SignatureScheme, data: Uint8Array): Uint8Array;
  /** DER `PrivateKeyInfo` (PKCS #8). */
  exportPkcs8(): Uint8Array;
}

/** A public signature key taken from a certificate, parsed once. */
export interface VerifyingKey {
  readonly type: KeyType;
  /** False for a wrong signature and for a malformed one. A scheme that does not fit the key is false too. */
  verify(scheme: SignatureScheme, signature: Uint8Array, data: Uint8Array): boolean;
}

export interface CryptoBackend {
  /** `noble` or `node`; for logs and benchmarks only. */
  readonly name: string;
  /**
   * The AEADs from the cheapest to the dearest here, by measurement. Where the choice is ours, a protocol makes it in this
   * order; what is left out comes last.
   */
  readonly aeadPreference: readonly AeadName[];
  /** Secure random bytes into `out`. */
  random(out: Uint8Array): void;
  hash(name: HashName, ...parts: readonly Uint8Array[]): Uint8Array;
  createHash(name: HashName): Hasher;
  /** Prepares an HMAC key (RFC 2104); any length, also empty. */
  createMac(hash: HashName, key: Uint8Array): Mac;
  /**
   * Whether {@link CryptoBackend.createAead} takes that cipher; absent: all of them. What it does not take, no protocol offers or
   * chooses. Asked for each connection: the answer must be cheap.
   */
  supportsAead?(name: AeadName): boolean;
  /** @throws {CryptoError} `invalid-key` for a key of the wrong length; `unsupported`. */
  createAead(name: AeadName, key: Uint8Array): AeadContext;
  /** @throws {CryptoError} `unsupported`. */
  generateKeyShare(group: GroupName): KeyShare;
  /** @throws {CryptoError} `unsupported`, for example RSA generation in a backend that can only use given RSA keys. */
  generateSigningKey(type: KeyType): SigningKey;
  /** @throws {CryptoError} `invalid-key`, `unsupported`. */
  importPkcs8(der: Uint8Array): SigningKey;
  /** @throws {CryptoError} `invalid-key` (also a point off its curve), `unsupported`. */
  importSpki(der: Uint8Array): VerifyingKey;
}
