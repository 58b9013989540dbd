import { describe, expect, it } from 'vitest';
import { hexToBytes } from '../../src/core/index.ts';
import {
  type Certificate,
  type CertificateOptions,
  type ChainOptions,
  certificateFromPem,
  certificateToPem,
  generateCertificate,
  MAX_CHAIN_CERTIFICATES,
  matchesHostname,
  parseCertificate,
  verifyChain,
} from '../../src/crypto/index.ts';
import certificates from '../vectors/openssl/certificates.json' with { type: 'json' };
import chain from '../vectors/openssl/chain.json' with { type: 'json' };
import { BACKENDS, NOW_MS, testEnv } from './backends.ts';

const DAY_MS = 86_400_000;

function vector(name: string): Uint8Array {
  const found = chain.cases.find((v) => v.name === name);
  if (found === undefined) throw new Error(`no such vector: ${name}`);
  return hexToBytes(found.der);
}

describe.each(BACKENDS)('verifyChain on the $name backend', ({ backend }) => {
  const env = testEnv(backend);
  const ca = { keyUsage: ['keyCertSign'], basicConstraints: { ca: true } } as const;
  const make = (commonName: string, options: CertificateOptions = {}): Certificate =>
    generateCertificate(env, { commonName, ...options });
  const root = make('root', ca);
  const middle = make('middle', { ...ca, issuer: root, keyType: 'ecdsa-p384' });
  const leaf = make('leaf', {
    issuer: middle,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['serverAuth'],
    subjectAltNames: ['host.example', '192.0.2.1'],
  });
  const trust = (...anchors: Certificate[]) => anchors.map(({ der }) => parseCertificate(der));
  const options: ChainOptions = {
    trusted: trust(root),
    nowMs: NOW_MS,
    purpose: 'serverAuth',
    hostname: 'host.example',
  };
  const verify = (list: readonly Certificate[], changes: Partial<ChainOptions> = {}) =>
    verifyChain(
      backend,
      list.map(({ der }) => der),
      { ...options, ...changes },
    );
  const alertOf = (...parameters: Parameters<typeof verify>) => verify(...parameters)?.alert;

  it('accepts a path to a trusted CA', () => {
    expect(verify([leaf, middle])).toBeUndefined();
    expect(verify([leaf, middle, root])).toBeUndefined();
    expect(verify([leaf, root, middle])).toBeUndefined();
    expect(verify([leaf, make('stray'), middle])).toBeUndefined();
    expect(verify([leaf], { trusted: trust(middle) })).toBeUndefined();
    expect(verify([leaf, middle], { hostname: '192.0.2.1' })).toBeUndefined();
  });

  it('certificates carry the intermediates that are to be sent with them', () => {
    expect(leaf.chain).toEqual([middle.der]);
    expect(middle).not.toHaveProperty('chain');
    expect(root).not.toHaveProperty('chain');
    const below = make('below', { ...ca, issuer: middle });
    expect(make('z', { issuer: below }).chain).toEqual([below.der, middle.der]);
    const back = certificateFromPem(backend, certificateToPem(leaf));
    expect(back.chain).toEqual([middle.der]);
    expect(verifyChain(backend, [back.der, ...(back.chain ?? [])], options)).toBeUndefined();
  });

  it('accepts a self-signed certificate that is itself trusted', () => {
    const alone = make('alone');
    const { hostname: _, ...anyHost } = options;
    expect(verifyChain(backend, [alone.der], { ...anyHost, trusted: trust(alone) })).toBeUndefined();
    expect(verifyChain(backend, [alone.der], { ...anyHost, trusted: trust(root) })?.alert).toBe('unknown_ca');
  });

  it('refuses a path that ends nowhere', () => {
    expect(alertOf([leaf])).toBe('unknown_ca');
    expect(alertOf([leaf, middle], { trusted: [] })).toBe('unknown_ca');
    expect(alertOf([leaf, middle, root], { trusted: trust(make('root', ca)) })).toBe('bad_certificate'); // same name, other key
    expect(alertOf([leaf, middle, root], { trusted: trust(make('other', ca)) })).toBe('unknown_ca');
    expect(alertOf([])).toBe('bad_certificate');
  });

  it('refuses signatures that do not verify', () => {
    const forged = leaf.der.slice();
    forged[forged.length - 1]! ^= 1;
    expect(verifyChain(backend, [forged, middle.der], options)?.alert).toBe('bad_certificate');
    const selfForged = make('alone').der.slice();
    selfForged[selfForged.length - 1]! ^= 1;
    const { hostname: _, ...anyHost } = options;
    expect(verifyChain(backend, [selfForged], anyHost)?.alert).toBe('bad_certificate');
  });

  it('refuses what cannot be read, and chains without end', () => {
    expect(verifyChain(backend, [new Uint8Array(5)], options)?.alert).toBe('bad_certificate');
    expect(verifyChain(backend, [leaf.der, new Uint8Array()], options)?.alert).toBe('bad_certificate');
    expect(alertOf([leaf, ...new Array<Certificate>(MAX_CHAIN_CERTIFICATES - 1).fill(middle)])).toBeUndefined();
    expect(alertOf([leaf, ...new Array<Certificate>(MAX_CHAIN_CERTIFICATES).fill(middle)])).toBe('bad_certificate');
  });

  it('refuses a certificate outside its time, anywhere in the path', () => {
    expect(alertOf([leaf, middle], { nowMs: NOW_MS - 2 * DAY_MS })).toBe('certificate_expired');
    expect(alertOf([leaf, middle], { nowMs: NOW_MS + 31 * DAY_MS })).toBe('certificate_expired');
    expect(alertOf([leaf, middle], { nowMs: leaf.notAfterMs })).toBeUndefined();
    expect(alertOf([leaf, middle], { nowMs: leaf.notAfterMs + 1000 })).toBe('certificate_expired');
    const longLeaf = make('leaf', { issuer: middle, subjectAltNames: ['host.example'], lifetimeMs: 90 * DAY_MS });
    expect(alertOf([longLeaf, middle], { nowMs: NOW_MS + 60 * DAY_MS })).toBe('certificate_expired');
    expect(alertOf([longLeaf], { nowMs: NOW_MS + 60 * DAY_MS, trusted: trust(middle) })).toBe('certificate_expired');
  });

  it('refuses issuers that are no CA, may not sign, or allow no such depth', () => {
    const under = (issuer: Certificate) => [make('x', { issuer, subjectAltNames: ['host.example'] }), issuer];
    expect(alertOf(under(make('m', { issuer: root })))).toBe('bad_certificate');
    expect(alertOf(under(make('m', { issuer: root, basicConstraints: { ca: false } })))).toBe('bad_certificate');
    expect(alertOf(under(make('m', { ...ca, issuer: root, keyUsage: ['digitalSignature'] })))).toBe('bad_certificate');
    const shallow = make('shallow', { ...ca, basicConstraints: { ca: true, pathLength: 0 } });
    const between = make('between', { ...ca, issuer: shallow });
    expect(alertOf(under(between), { trusted: trust(shallow) })).toBe('bad_certificate');
    expect(alertOf(under(shallow), { trusted: trust(shallow) })).toBeUndefined();
    const [leafOfLeaf] = under(leaf);
    expect(alertOf([leafOfLeaf!, leaf, middle])).toBe('bad_certificate');
    expect(alertOf([leafOfLeaf!], { trusted: trust(leaf) })).toBe('bad_certificate');
  });

  it('refuses a leaf that is for something or somebody else', () => {
    expect(alertOf([leaf, middle], { purpose: 'clientAuth' })).toBe('unsupported_certificate');
    const issued = (changes: CertificateOptions) =>
      alertOf([make('y', { issuer: root, subjectAltNames: ['host.example'], ...changes })]);
    expect(issued({})).toBeUndefined();
    expect(issued({ keyUsage: ['keyAgreement'] })).toBe('unsupported_certificate');
    expect(issued({ extendedKeyUsage: ['anyExtendedKeyUsage'] })).toBeUndefined();
    expect(issued({ extendedKeyUsage: ['1.2.3'] })).toBe('unsupported_certificate');
    expect(alertOf([leaf, middle], { hostname: 'other.example' })).toBe('certificate_unknown');
    expect(alertOf([make('host.example', { issuer: root })])).toBe('certificate_unknown'); // the common name does not count
  });

  it('verifies a chain that OpenSSL made, RSA root and EC leaf', () => {
    const [leafDer, middleDer, rootDer] = ['leaf', 'intermediate', 'root'].map(vector);
    const trusted = [parseCertificate(rootDer!)];
    const nowMs = parseCertificate(leafDer!).notBeforeMs + DAY_MS;
    const check = (list: Uint8Array[]) =>
      verifyChain(backend, list, { trusted, nowMs, purpose: 'serverAuth', hostname: 'www.example.org' });
    expect(check([leafDer!, middleDer!])).toBeUndefined();
    expect(check([leafDer!])?.alert).toBe('unknown_ca');
    expect(check([middleDer!])?.alert).toBe('unsupported_certificate');
  });

  it.each([
    ['unknown critical extension', '1.2.3.4.5'],
    ['name constraints, not critical', '2.5.29.30'],
  ])('refuses what it cannot judge: %s', (name, id) => {
    const der = vector(name);
    const certificate = parseCertificate(der);
    expect(certificate.unknownCriticalExtensions).toEqual([id]);
    const nowMs = certificate.notBeforeMs;
    expect(verifyChain(backend, [der], { trusted: [certificate], nowMs, purpose: 'serverAuth' })?.alert).toBe(
      'unsupported_certificate',
    );
  });
});

describe('matchesHostname (RFC 9525 §6)', () => {
  const certificate = parseCertificate(hexToBytes(certificates.cases[0]!.der)); // peer.example, *.peers.example, two IPs
  it.each([
    ['peer.example', true],
    ['PEER.Example', true],
    ['peer.example.', true],
    ['a.peers.example', true],
    ['192.0.2.1', true],
    ['2001:db8::1', true],
    ['2001:DB8:0:0:0:0:0:1', true],
    ['other.example', false],
    ['peers.example', false],
    ['.peers.example', false],
    ['a.b.peers.example', false],
    ['*.peers.example', false],
    ['192.0.2.2', false],
    ['P-256', false],
    ['', false],
  ])('%s: %s', (hostname, expected) => {
    expect(matchesHostname(certificate, hostname)).toBe(expected);
  });

  it.each([
    ['*', 'example'],
    ['*.example', 'host.example'],
    ['h*.example.org', 'host.example.org'],
    ['a.*.example.org', 'a.b.example.org'],
    ['*.*.example.org', 'a.b.example.org'],
    ['192.0.2.*', '192.0.2.1'],
  ])('the wildcard %s does not stand for %s', (name, hostname) => {
    const subjectAltNames = [{ type: 'dns', value: name }] as const;
    expect(matchesHostname({ ...certificate, subjectAltNames }, hostname)).toBe(false);
  });
});
