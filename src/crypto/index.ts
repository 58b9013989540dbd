export * from './certificate.ts';
export * from './constant-time.ts';
export * from './noble.ts';
export { importNobleKeyShare } from './noble-keys.ts';
export * from './prf.ts';
export { type ParsedCertificate, parseCertificate, verifyCertificateSignature } from './x509.ts';
export type { SignatureAlgorithm } from './x509-algorithms.ts';
export type { BasicConstraints, ExtendedKeyUsage, ExtensionOptions, GeneralName, KeyUsage } from './x509-extensions.ts';
export type { DistinguishedName } from './x509-names.ts';
