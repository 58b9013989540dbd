import {
  type AeadName,
  type CryptoBackend,
  type Env,
  type GroupName,
  type KeyShare,
  type KeyType,
  SILENT,
} from '../../src/core/index.ts';
import { importNobleKeyShare, nobleCrypto } from '../../src/crypto/index.ts';
import { importNodeKeyShare, nodeCrypto } from '../../src/io/node-crypto.ts';

/** Both backends, for `describe.each`: they must pass the same vectors. */
export interface BackendUnderTest {
  readonly name: string;
  readonly backend: CryptoBackend;
  readonly importKeyShare: (group: GroupName, privateKey: Uint8Array) => KeyShare;
}

export const BACKENDS: readonly BackendUnderTest[] = [
  { name: 'noble', backend: nobleCrypto, importKeyShare: importNobleKeyShare },
  { name: 'node', backend: nodeCrypto, importKeyShare: importNodeKeyShare },
];

export const AEADS: readonly { readonly aead: AeadName; readonly keyBytes: number; readonly tagBytes: number }[] = [
  { aead: 'aes-128-gcm', keyBytes: 16, tagBytes: 16 },
  { aead: 'aes-256-gcm', keyBytes: 32, tagBytes: 16 },
  { aead: 'chacha20-poly1305', keyBytes: 32, tagBytes: 16 },
  { aead: 'aes-128-ccm', keyBytes: 16, tagBytes: 16 },
  { aead: 'aes-128-ccm-8', keyBytes: 16, tagBytes: 8 },
];

export const GROUPS: readonly {
  readonly group: GroupName;
  readonly publicBytes: number;
  readonly secretBytes: number;
}[] = [
  { group: 'x25519', publicBytes: 32, secretBytes: 32 },
  { group: 'secp256r1', publicBytes: 65, secretBytes: 32 },
  { group: 'secp384r1', publicBytes: 97, secretBytes: 48 },
];

/** Key types that both backends can make. */
export const GENERATED_KEYS: readonly KeyType[] = ['ecdsa-p256', 'ecdsa-p384', 'ed25519'];

/** 2026-01-01T00:00:00Z. */
export const NOW_MS = 1_767_225_600_000;

export function testEnv(backend: CryptoBackend, nowMs: number = NOW_MS): Env {
  return { random: (out) => backend.random(out), wallClockMs: () => nowMs, crypto: backend, trace: SILENT };
}
