import { type AeadName, type Env, type GroupName, UsageError } from '../core/index.ts';
import type { FlightOptions } from './flight.ts';
import { MIN_MTU_BYTES } from './flight-mtu.ts';
import { MAX_PLAINTEXT_BYTES } from './record.ts';
import type { KeyLimits } from './record-cipher.ts';
import { type CipherSuite, type CipherSuiteName, cipherSuiteByName } from './registry.ts';
import { MIN_RTO_MS } from './retransmission-timer.ts';
import type { DtlsCertificate, DtlsOptions } from './types.ts';

/** RFC 6347 §4.2.4.1: "an initial timer value of 1 second". */
const DEFAULT_INITIAL_RTO_MS = 1000;
/** RFC 6347 §4.2.4.1: "no less than the RFC 6298 maximum of 60 seconds". */
export const DEFAULT_MAX_RTO_MS = 60_000;
/** As many as browsers send before they give up. */
export const DEFAULT_MAX_RETRANSMISSIONS = 12;
/** UDP payload that nearly every path carries. */
export const DEFAULT_MTU_BYTES = 1200;
/** Longest own connection ID; leaves the slot's headroom to lower layers (`SLOT_HEADROOM`). */
const MAX_CONNECTION_ID_BYTES = 20;
/** RFC 8449 §4. */
const MIN_RECORD_SIZE_LIMIT_BYTES = 64;

const DEFAULT_CERTIFICATE_SUITES: readonly CipherSuiteName[] = [
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
];
const DEFAULT_PSK_SUITES: readonly CipherSuiteName[] = [
  'TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_PSK_WITH_AES_128_GCM_SHA256',
  'TLS_PSK_WITH_AES_128_CCM_8',
];
const DEFAULT_GROUPS: readonly GroupName[] = ['x25519', 'secp256r1', 'secp384r1'];

/** The options with their defaults, checked once. */
export interface ResolvedOptions {
  readonly env: Env;
  readonly certificates: readonly DtlsCertificate[];
  readonly verifyPeer: NonNullable<DtlsOptions['verifyPeer']>;
  readonly cipherSuites: readonly CipherSuite[];
  readonly groups: readonly GroupName[];
  readonly requireExtendedMasterSecret: boolean;
  readonly flight: FlightOptions;
  readonly srtpProfiles: readonly number[];
  readonly alpn: readonly string[];
  readonly keyLog: ((line: string) => void) | undefined;
  readonly connectionId: Uint8Array | undefined;
  readonly recordSizeLimitBytes: number | undefined;
  readonly keyLimits: KeyLimits;
}

function within(name: string, value: number, min: number, max: number): number {
  if (!(value >= min && value <= max)) throw new UsageError(`${name} must be from ${min} to ${max}, not ${value}`);
  return value;
}

/**
 * The defaults in the backend's order: ephemeral keys before forward secrecy is given up, the cheapest cipher first, the short tag
 * last, and otherwise as they stand.
 */
function inOrderOfCost(names: readonly CipherSuiteName[], env: Env): readonly CipherSuiteName[] {
  const { aeadPreference } = env.crypto;
  const cost = ({ aead, keyExchange }: CipherSuite): number => {
    const at = aeadPreference.indexOf(aead);
    const cipher = at < 0 ? aeadPreference.length : at;
    return (keyExchange === 'psk' ? 100 : 0) + (aead === 'aes-128-ccm-8' ? 50 : cipher);
  };
  const suites = resolveSuites(names).filter(({ aead }) => isSupported(aead, env));
  return suites.sort((a, b) => cost(a) - cost(b)).map((suite) => suite.name);
}

function isSupported(aead: AeadName, env: Env): boolean {
  return env.crypto.supportsAead?.(aead) ?? true;
}

function resolveSuites(names: readonly CipherSuiteName[]): readonly CipherSuite[] {
  const suites = names.map((name) => {
    const suite = cipherSuiteByName(name);
    if (suite === undefined) throw new UsageError(`unknown cipher suite ${name}`);
    return suite;
  });
  if (suites.length === 0) throw new UsageError('no cipher suite is enabled');
  return suites;
}

function defaultSuites(
  certificateSuites: readonly CipherSuiteName[],
  hasPsk: boolean,
  env: Env,
): readonly CipherSuiteName[] {
  const byCertificate = certificateSuites.length === 0 ? [] : inOrderOfCost(certificateSuites, env);
  return hasPsk ? [...byCertificate, ...inOrderOfCost(DEFAULT_PSK_SUITES, env)] : byCertificate;
}

/** @throws {UsageError} for values outside their range and for contradictions. */
export function resolveOptions(options: DtlsOptions, hasPsk: boolean): ResolvedOptions {
  const certificates =
    options.certificate === undefined ? [] : 'der' in options.certificate ? [options.certificate] : options.certificate;
  // A PSK without anything to judge certificates by: certificate suites could only fail.
  const certificateSuites =
    hasPsk && options.verifyPeer === undefined && certificates.length === 0 ? [] : DEFAULT_CERTIFICATE_SUITES;
  const names = options.cipherSuites ?? defaultSuites(certificateSuites, hasPsk, options.env);
  const cipherSuites = resolveSuites(names).filter((s) => hasPsk || s.authentication !== 'psk');
  if (cipherSuites.length === 0) throw new UsageError('PSK suites need a PSK');
  const impossible = cipherSuites.find(({ aead }) => !isSupported(aead, options.env));
  if (impossible !== undefined) throw new UsageError(`the crypto backend has no ${impossible.aead}`);
  const groups = options.groups ?? DEFAULT_GROUPS;
  if (groups.length === 0 && cipherSuites.some((s) => s.keyExchange !== 'psk'))
    throw new UsageError('no group is enabled');
  for (const name of options.alpn ?? []) within(`the length of ALPN name ${JSON.stringify(name)}`, name.length, 1, 255);
  if (options.connectionId !== undefined) {
    within('the length of connectionId', options.connectionId.length, 0, MAX_CONNECTION_ID_BYTES);
  }
  if (options.recordSizeLimitBytes !== undefined) {
    within('recordSizeLimitBytes', options.recordSizeLimitBytes, MIN_RECORD_SIZE_LIMIT_BYTES, MAX_PLAINTEXT_BYTES);
  }
  const initialRtoMs = within('initialRtoMs', options.initialRtoMs ?? DEFAULT_INITIAL_RTO_MS, MIN_RTO_MS, 600_000);
  return {
    env: options.env,
    certificates,
    verifyPeer: options.verifyPeer ?? (() => 'certificate_unknown'),
    cipherSuites,
    groups,
    requireExtendedMasterSecret: options.requireExtendedMasterSecret ?? true,
    flight: {
      initialRtoMs,
      maxRtoMs: within(
        'maxRtoMs',
        options.maxRtoMs ?? Math.max(DEFAULT_MAX_RTO_MS, initialRtoMs),
        initialRtoMs,
        600_000,
      ),
      maxRetransmissions: within(
        'maxRetransmissions',
        options.maxRetransmissions ?? DEFAULT_MAX_RETRANSMISSIONS,
        0,
        1000,
      ),
      mtuBytes: within('mtuBytes', options.mtuBytes ?? DEFAULT_MTU_BYTES, MIN_MTU_BYTES, 65_507),
    },
    srtpProfiles: options.srtpProfiles ?? [],
    alpn: options.alpn ?? [],
    keyLog: options.keyLog,
    connectionId: options.connectionId,
    recordSizeLimitBytes: options.recordSizeLimitBytes,
    keyLimits: options.keyLimits ?? {},
  };
}
