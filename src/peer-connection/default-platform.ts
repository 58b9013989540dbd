import { platform } from '#platform';
import type { Platform } from '../core/index.ts';
import { LONGEST_BEFORE_NATIVE, withRecordCipher } from '../crypto/index.ts';

/**
 * The platform of a connection that is given no other. The only place that names the runtime: package.json `imports` decides
 * what `#platform` is.
 */
export const defaultPlatform: Platform = {
  ...platform,
  env: { ...platform.env, crypto: withRecordCipher(platform.env.crypto, LONGEST_BEFORE_NATIVE) },
};
