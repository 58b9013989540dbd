import { type CryptoBackend, concatBytes, EMPTY, type HashName } from '../core/index.ts';
import { prf } from '../crypto/index.ts';
import type { CipherSuite } from './registry.ts';
import { opaque16 } from './wire.ts';

const MASTER_SECRET_BYTES = 48;
/** RFC 5246 §7.4.9: 12 bytes for every suite here. */
const VERIFY_DATA_BYTES = 12;

/** `master secret` (RFC 5246 §8.1) for peers without RFC 7627. */
export function masterSecret(
  crypto: CryptoBackend,
  hash: HashName,
  premaster: Uint8Array,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
): Uint8Array {
  return prf(crypto, hash, premaster, 'master secret', concatBytes(clientRandom, serverRandom), MASTER_SECRET_BYTES);
}

/** `extended master secret` (RFC 7627 §4). @param sessionHash - of all messages up to and with ClientKeyExchange. */
export function extendedMasterSecret(
  crypto: CryptoBackend,
  hash: HashName,
  premaster: Uint8Array,
  sessionHash: Uint8Array,
): Uint8Array {
  return prf(crypto, hash, premaster, 'extended master secret', sessionHash, MASTER_SECRET_BYTES);
}

/** The premaster secret of PSK suites (RFC 4279 §2, RFC 5489 §2). @param other - the ECDH secret; absent for plain PSK. */
export function pskPremaster(psk: Uint8Array, other: Uint8Array | undefined): Uint8Array {
  return concatBytes(opaque16(other ?? new Uint8Array(psk.length)), opaque16(psk));
}

/** One direction's share of the key block. */
export interface DirectionKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

/** RFC 5246 §6.3; AEAD suites have no MAC keys. Note that the server's random comes first here. */
export function keyBlock(
  crypto: CryptoBackend,
  suite: CipherSuite,
  master: Uint8Array,
  clientRandom: Uint8Array,
  serverRandom: Uint8Array,
): { readonly client: DirectionKeys; readonly server: DirectionKeys } {
  const { keyBytes: k, fixedIvBytes: v, hash } = suite;
  const block = prf(crypto, hash, master, 'key expansion', concatBytes(serverRandom, clientRandom), 2 * (k + v));
  return {
    client: { key: block.slice(0, k), iv: block.slice(2 * k, 2 * k + v) },
    server: { key: block.slice(k, 2 * k), iv: block.slice(2 * k + v, 2 * k + 2 * v) },
  };
}

/** verify_data of Finished (RFC 5246 §7.4.9). @param transcriptHash - of all messages before that Finished. */
export function verifyData(
  crypto: CryptoBackend,
  hash: HashName,
  master: Uint8Array,
  sender: 'client' | 'server',
  transcriptHash: Uint8Array,
): Uint8Array {
  return prf(crypto, hash, master, `${sender} finished`, transcriptHash, VERIFY_DATA_BYTES);
}

/** Keying material exporter (RFC 5705 §4): without a context the seed ends behind the randoms. */
export function exportKeyingMaterial(
  crypto: CryptoBackend,
  hash: HashName,
  master: Uint8Array,
  randoms: { readonly client: Uint8Array; readonly server: Uint8Array },
  label: string,
  context: Uint8Array | undefined,
  lengthBytes: number,
): Uint8Array {
  const tail = context === undefined ? EMPTY : opaque16(context);
  return prf(crypto, hash, master, label, concatBytes(randoms.client, randoms.server, tail), lengthBytes);
}

/** Labels that the handshake itself uses: an exporter must not give them out (RFC 5705 §4). */
export const RESERVED_LABELS: ReadonlySet<string> = new Set([
  'client finished',
  'server finished',
  'master secret',
  'extended master secret',
  'key expansion',
]);
