import type { AeadName, GroupName, HashName, KeyType, SignatureScheme } from '../core/index.ts';

/** Protocol versions, the ones' complement of 1.x (RFC 6347 §4.1): a smaller number is a newer version. */
export const DTLS_1_0 = 0xfeff;
export const DTLS_1_2 = 0xfefd;
export const DTLS_1_3 = 0xfefc;

/** RFC 5246 §6.2.1, and `tls12_cid` of RFC 9146 §4. */
export const CONTENT_CHANGE_CIPHER_SPEC = 20;
export const CONTENT_ALERT = 21;
export const CONTENT_HANDSHAKE = 22;
export const CONTENT_APPLICATION_DATA = 23;
export const CONTENT_TLS12_CID = 25;

/** RFC 5246 §7.4, RFC 6347 §4.3.2 (hello_verify_request), RFC 5077 §3.3 (NewSessionTicket). */
export const HELLO_REQUEST = 0;
export const CLIENT_HELLO = 1;
export const SERVER_HELLO = 2;
export const HELLO_VERIFY_REQUEST = 3;
export const NEW_SESSION_TICKET = 4;
export const CERTIFICATE = 11;
export const SERVER_KEY_EXCHANGE = 12;
export const CERTIFICATE_REQUEST = 13;
export const SERVER_HELLO_DONE = 14;
export const CERTIFICATE_VERIFY = 15;
export const CLIENT_KEY_EXCHANGE = 16;
export const FINISHED = 20;

const HANDSHAKE_NAMES = new Map<number, string>([
  [HELLO_REQUEST, 'HelloRequest'],
  [CLIENT_HELLO, 'ClientHello'],
  [SERVER_HELLO, 'ServerHello'],
  [HELLO_VERIFY_REQUEST, 'HelloVerifyRequest'],
  [NEW_SESSION_TICKET, 'NewSessionTicket'],
  [CERTIFICATE, 'Certificate'],
  [SERVER_KEY_EXCHANGE, 'ServerKeyExchange'],
  [CERTIFICATE_REQUEST, 'CertificateRequest'],
  [SERVER_HELLO_DONE, 'ServerHelloDone'],
  [CERTIFICATE_VERIFY, 'CertificateVerify'],
  [CLIENT_KEY_EXCHANGE, 'ClientKeyExchange'],
  [FINISHED, 'Finished'],
]);

/** The RFC's name of a handshake message type, for logs and errors. */
export function handshakeName(type: number): string {
  return HANDSHAKE_NAMES.get(type) ?? `handshake type ${type}`;
}

/** Extension types (IANA "TLS ExtensionType Values"). */
export const EXT_SERVER_NAME = 0; // RFC 6066 §3
export const EXT_SUPPORTED_GROUPS = 10; // RFC 8422 §5.1.1
export const EXT_EC_POINT_FORMATS = 11; // RFC 8422 §5.1.2
export const EXT_SIGNATURE_ALGORITHMS = 13; // RFC 5246 §7.4.1.4.1
export const EXT_USE_SRTP = 14; // RFC 5764 §4.1.1
export const EXT_ALPN = 16; // RFC 7301 §3.1
export const EXT_EXTENDED_MASTER_SECRET = 23; // RFC 7627 §5.1
export const EXT_RECORD_SIZE_LIMIT = 28; // RFC 8449 §4
export const EXT_SESSION_TICKET = 35; // RFC 5077 §3.2
export const EXT_SUPPORTED_VERSIONS = 43; // RFC 8446 §4.2.1
export const EXT_CONNECTION_ID = 54; // RFC 9146 §3
export const EXT_RENEGOTIATION_INFO = 0xff01; // RFC 5746 §3.2

/** TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 §3.3): a suite number that stands for an empty renegotiation_info. */
export const RENEGOTIATION_INFO_SCSV = 0x00ff;

/** Names of the cipher suites of this module, as IANA writes them. */
export type CipherSuiteName =
  | 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'
  | 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'
  | 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'
  | 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'
  | 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'
  | 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'
  | 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'
  | 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8'
  | 'TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256'
  | 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256'
  | 'TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256'
  | 'TLS_PSK_WITH_AES_128_GCM_SHA256'
  | 'TLS_PSK_WITH_CHACHA20_POLY1305_SHA256'
  | 'TLS_PSK_WITH_AES_128_CCM'
  | 'TLS_PSK_WITH_AES_128_CCM_8';

export type KeyExchange = 'ecdhe' | 'ecdhe-psk' | 'psk';
/** `ecdsa` also stands for Ed25519 keys (RFC 8422 §5.3). */
export type Authentication = 'ecdsa' | 'rsa' | 'psk';

/** One row of the suite table. All are AEAD suites; nothing weaker exists here, so nothing weaker can be switched on. */
export interface CipherSuite {
  readonly name: CipherSuiteName;
  readonly code: number;
  readonly keyExchange: KeyExchange;
  readonly authentication: Authentication;
  readonly aead: AeadName;
  readonly keyBytes: number;
  /** Bytes of the write IV taken from the key block: the GCM/CCM salt, or the whole nonce mask of RFC 7905 §2. */
  readonly fixedIvBytes: number;
  /** Nonce bytes carried in each record: 8 for GCM (RFC 5288 §3) and CCM (RFC 6655 §3), none for ChaCha20 (RFC 7905 §2). */
  readonly explicitNonceBytes: number;
  readonly tagBytes: number;
  /** Hash of the PRF, of the transcript and of Finished (RFC 5246 §5). */
  readonly hash: HashName;
}

const AEADS = {
  gcm128: { aead: 'aes-128-gcm', keyBytes: 16, fixedIvBytes: 4, explicitNonceBytes: 8, tagBytes: 16, hash: 'sha-256' },
  gcm256: { aead: 'aes-256-gcm', keyBytes: 32, fixedIvBytes: 4, explicitNonceBytes: 8, tagBytes: 16, hash: 'sha-384' },
  chacha: {
    aead: 'chacha20-poly1305',
    keyBytes: 32,
    fixedIvBytes: 12,
    explicitNonceBytes: 0,
    tagBytes: 16,
    hash: 'sha-256',
  },
  ccm: { aead: 'aes-128-ccm', keyBytes: 16, fixedIvBytes: 4, explicitNonceBytes: 8, tagBytes: 16, hash: 'sha-256' },
  ccm8: { aead: 'aes-128-ccm-8', keyBytes: 16, fixedIvBytes: 4, explicitNonceBytes: 8, tagBytes: 8, hash: 'sha-256' },
} as const;

function suite(
  name: CipherSuiteName,
  code: number,
  keyExchange: KeyExchange,
  authentication: Authentication,
  aead: keyof typeof AEADS,
): CipherSuite {
  return { name, code, keyExchange, authentication, ...AEADS[aead] };
}

/**
 * Every suite this module knows: RFC 5289 §3.2 (GCM), RFC 7905 §2 (ChaCha20), RFC 7251 §2 (ECDSA with CCM), RFC 5487 §2
 * and RFC 8442 §3 (PSK with GCM), RFC 6655 §4 (PSK with CCM).
 */
export const CIPHER_SUITES: readonly CipherSuite[] = [
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 0xc02b, 'ecdhe', 'ecdsa', 'gcm128'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 0xc02c, 'ecdhe', 'ecdsa', 'gcm256'),
  suite('TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 0xcca9, 'ecdhe', 'ecdsa', 'chacha'),
  suite('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', 0xc02f, 'ecdhe', 'rsa', 'gcm128'),
  suite('TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', 0xc030, 'ecdhe', 'rsa', 'gcm256'),
  suite('TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256', 0xcca8, 'ecdhe', 'rsa', 'chacha'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_CCM', 0xc0ac, 'ecdhe', 'ecdsa', 'ccm'),
  suite('TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8', 0xc0ae, 'ecdhe', 'ecdsa', 'ccm8'),
  suite('TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256', 0xd001, 'ecdhe-psk', 'psk', 'gcm128'),
  suite('TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256', 0xccac, 'ecdhe-psk', 'psk', 'chacha'),
  suite('TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256', 0xd005, 'ecdhe-psk', 'psk', 'ccm'),
  suite('TLS_PSK_WITH_AES_128_GCM_SHA256', 0x00a8, 'psk', 'psk', 'gcm128'),
  suite('TLS_PSK_WITH_CHACHA20_POLY1305_SHA256', 0xccab, 'psk', 'psk', 'chacha'),
  suite('TLS_PSK_WITH_AES_128_CCM', 0xc0a4, 'psk', 'psk', 'ccm'),
  suite('TLS_PSK_WITH_AES_128_CCM_8', 0xc0a8, 'psk', 'psk', 'ccm8'),
];

const SUITES_BY_CODE = new Map(CIPHER_SUITES.map((s) => [s.code, s]));
const SUITES_BY_NAME = new Map(CIPHER_SUITES.map((s) => [s.name, s]));

export function cipherSuiteByCode(code: number): CipherSuite | undefined {
  return SUITES_BY_CODE.get(code);
}

export function cipherSuiteByName(name: CipherSuiteName): CipherSuite | undefined {
  return SUITES_BY_NAME.get(name);
}

/** Named groups (RFC 8422 §5.1.1). */
const GROUP_CODES: Readonly<Record<GroupName, number>> = { secp256r1: 23, secp384r1: 24, x25519: 29 };
const GROUPS_BY_CODE = new Map(
  (Object.keys(GROUP_CODES) as GroupName[]).map((name): [number, GroupName] => [GROUP_CODES[name], name]),
);

export function groupCode(name: GroupName): number {
  return GROUP_CODES[name];
}

export function groupByCode(code: number): GroupName | undefined {
  return GROUPS_BY_CODE.get(code);
}

/** One signature scheme as DTLS 1.2 reads its code point (RFC 5246 §7.4.1.4.1, RFC 8422 §5.1.3, RFC 8446 §4.2.3). */
export interface SchemeRow {
  readonly code: number;
  /** The name under which the crypto backend signs and verifies it. */
  readonly scheme: SignatureScheme;
  readonly keyTypes: readonly KeyType[];
  /** The suites whose server certificates may use it. */
  readonly authentication: Authentication;
}

/**
 * In order of preference. In DTLS 1.2 an ECDSA code point names only the hash, not the curve (RFC 8446 §4.2.3 narrows it
 * for 1.3 alone), but an own P-384 key signs with SHA-384 where the peer takes it. SHA-1 and MD5 are not here.
 */
export const SIGNATURE_SCHEMES: readonly SchemeRow[] = [
  { code: 0x0403, scheme: 'ecdsa_sha256', keyTypes: ['ecdsa-p256', 'ecdsa-p384'], authentication: 'ecdsa' },
  { code: 0x0503, scheme: 'ecdsa_sha384', keyTypes: ['ecdsa-p384', 'ecdsa-p256'], authentication: 'ecdsa' },
  { code: 0x0807, scheme: 'ed25519', keyTypes: ['ed25519'], authentication: 'ecdsa' },
  { code: 0x0804, scheme: 'rsa_pss_rsae_sha256', keyTypes: ['rsa'], authentication: 'rsa' },
  { code: 0x0805, scheme: 'rsa_pss_rsae_sha384', keyTypes: ['rsa'], authentication: 'rsa' },
  { code: 0x0806, scheme: 'rsa_pss_rsae_sha512', keyTypes: ['rsa'], authentication: 'rsa' },
  { code: 0x0401, scheme: 'rsa_pkcs1_sha256', keyTypes: ['rsa'], authentication: 'rsa' },
  { code: 0x0501, scheme: 'rsa_pkcs1_sha384', keyTypes: ['rsa'], authentication: 'rsa' },
  { code: 0x0601, scheme: 'rsa_pkcs1_sha512', keyTypes: ['rsa'], authentication: 'rsa' },
  { code: 0x0603, scheme: 'ecdsa_sha512', keyTypes: ['ecdsa-p256', 'ecdsa-p384'], authentication: 'ecdsa' },
];

const SCHEMES_BY_CODE = new Map(SIGNATURE_SCHEMES.map((row) => [row.code, row]));

export function schemeByCode(code: number): SchemeRow | undefined {
  return SCHEMES_BY_CODE.get(code);
}

/** ClientCertificateType (RFC 5246 §7.4.4, RFC 8422 §5.5). */
export const CERTIFICATE_TYPE_RSA_SIGN = 1;
export const CERTIFICATE_TYPE_ECDSA_SIGN = 64;
