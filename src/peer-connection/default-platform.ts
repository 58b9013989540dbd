import { platform } from '#platform';
import type { Platform } from '../core/index.ts';
import { withRecordCipher } from '../crypto/index.ts';

/** Records up to here cost less with our own ChaCha20-Poly1305 than a call into native code does (Node 20; bytes). */
const OWN_RECORDS_BYTES = 1500;

/**
 * The platform of a connection that is given no other. The only place that names the runtime: package.json `imports` decides
 * what `#platform` is.
 */
export const defaultPlatform: Platform = {
  ...platform,
  env: { ...platform.env, crypto: withRecordCipher(platform.env.crypto, OWN_RECORDS_BYTES) },
};
