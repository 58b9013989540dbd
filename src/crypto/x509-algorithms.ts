import type { KeyType, SignatureScheme } from '../core/index.ts';
import {
  type DerElement,
  isNull,
  nil,
  oid,
  readExplicit,
  readOid,
  readSequence,
  readSmallInteger,
  sequence,
} from './der.ts';

/** Signature algorithms of certificates (RFC 3279, RFC 4055, RFC 5758, RFC 8410) and the schemes that they mean. */

const OID_RSASSA_PSS = '1.2.840.113549.1.1.10';
const OID_MGF1 = '1.2.840.113549.1.1.8';

/** Those without parameters that matter. SHA-1 and MD5 are absent on purpose: such signatures prove nothing any more. */
const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  '1.2.840.10045.4.3.2': 'ecdsa_sha256',
  '1.2.840.10045.4.3.3': 'ecdsa_sha384',
  '1.2.840.10045.4.3.4': 'ecdsa_sha512',
  '1.3.101.112': 'ed25519',
  '1.2.840.113549.1.1.11': 'rsa_pkcs1_sha256',
  '1.2.840.113549.1.1.12': 'rsa_pkcs1_sha384',
  '1.2.840.113549.1.1.13': 'rsa_pkcs1_sha512',
};

const PSS_HASHES: Readonly<Record<string, { readonly scheme: SignatureScheme; readonly saltLength: number }>> = {
  '2.16.840.1.101.3.4.2.1': { scheme: 'rsa_pss_rsae_sha256', saltLength: 32 },
  '2.16.840.1.101.3.4.2.2': { scheme: 'rsa_pss_rsae_sha384', saltLength: 48 },
  '2.16.840.1.101.3.4.2.3': { scheme: 'rsa_pss_rsae_sha512', saltLength: 64 },
};

export interface SignatureAlgorithm {
  readonly oid: string;
  /** What a `VerifyingKey` is to be asked; absent for algorithms that the house does not accept. */
  readonly scheme?: SignatureScheme;
}

/** @throws {DecodeError} */
export function readSignatureAlgorithm(element: DerElement): SignatureAlgorithm {
  const fields = readSequence(element, 'signatureAlgorithm');
  const id = readOid(fields.next('algorithm'), 'algorithm');
  const parameters = fields.done ? undefined : fields.next('parameters');
  fields.expectEnd();
  if (id === OID_RSASSA_PSS && parameters !== undefined) {
    const scheme = readPssParameters(parameters);
    return scheme === undefined ? { oid: id } : { oid: id, scheme };
  }
  const scheme = SCHEMES[id];
  const expected = parameters === undefined || isNull(parameters);
  return scheme === undefined || !expected ? { oid: id } : { oid: id, scheme };
}

/** RFC 4055 §3.1: the same hash twice and a salt as long as the hash; anything else is no scheme of TLS. */
function readPssParameters(element: DerElement): SignatureScheme | undefined {
  const fields = readSequence(element, 'RSASSA-PSS-params');
  const hashElement = fields.optionalTag(0);
  const mgfElement = fields.optionalTag(1);
  const saltElement = fields.optionalTag(2);
  const trailerElement = fields.optionalTag(3);
  fields.expectEnd();
  if (hashElement === undefined || mgfElement === undefined || saltElement === undefined) return undefined; // SHA-1
  const hash = readHashOid(readExplicit(hashElement, 'hashAlgorithm').next('hashAlgorithm'));
  const mgf = readSequence(readExplicit(mgfElement, 'maskGenAlgorithm').next('maskGenAlgorithm'), 'maskGenAlgorithm');
  const mgfOid = readOid(mgf.next('maskGenAlgorithm'), 'maskGenAlgorithm');
  const mgfHash = readHashOid(mgf.next('mgf1 hash'));
  const salt = readSmallInteger(readExplicit(saltElement, 'saltLength').next('saltLength'), 'saltLength');
  const known = PSS_HASHES[hash];
  const fits = mgfOid === OID_MGF1 && mgfHash === hash && salt === known?.saltLength && trailerElement === undefined;
  return fits ? known?.scheme : undefined;
}

function readHashOid(element: DerElement): string {
  const fields = readSequence(element, 'hash');
  const id = readOid(fields.next('hash'), 'hash');
  fields.optional(isNull);
  fields.expectEnd();
  return id;
}

const SIGNING: Readonly<Record<KeyType, { readonly oid: string; readonly scheme: SignatureScheme }>> = {
  'ecdsa-p256': { oid: '1.2.840.10045.4.3.2', scheme: 'ecdsa_secp256r1_sha256' },
  'ecdsa-p384': { oid: '1.2.840.10045.4.3.3', scheme: 'ecdsa_secp384r1_sha384' },
  ed25519: { oid: '1.3.101.112', scheme: 'ed25519' },
  rsa: { oid: '1.2.840.113549.1.1.11', scheme: 'rsa_pkcs1_sha256' },
};

/** How a key of this type signs certificates. */
export function certificateScheme(type: KeyType): SignatureScheme {
  return SIGNING[type].scheme;
}

/** RFC 5758 §3.2, RFC 8410 §3: no parameters; RFC 4055 §5: NULL for RSA. */
export function writeSignatureAlgorithm(type: KeyType): DerElement {
  return type === 'rsa' ? sequence(oid(SIGNING[type].oid), nil()) : sequence(oid(SIGNING[type].oid));
}
