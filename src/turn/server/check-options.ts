import { UsageError, utf8 } from '../../core/index.ts';
import { MAX_TEXT_BYTES } from '../../stun/index.ts';
import type { TurnServerCoreOptions } from './types.ts';

/** @throws {UsageError} for options with which a server would serve nobody, or everybody. */
export function checkOptions(options: TurnServerCoreOptions): void {
  const { findUser, authSecrets = [], oauth, stunOnly, software = '', realm } = options;
  if (options.relayAddresses.length === 0) throw new UsageError('a TURN server needs a relay address');
  if (findUser === undefined && authSecrets.length === 0 && oauth === undefined && stunOnly !== true) {
    throw new UsageError('a TURN server needs users, a secret or token keys: without it is an open proxy');
  }
  if (utf8(software).length > MAX_TEXT_BYTES || utf8(realm).length > MAX_TEXT_BYTES) {
    throw new UsageError(`realm and software are ${MAX_TEXT_BYTES} bytes at most`);
  }
  for (const { kid, key } of oauth?.keys ?? []) {
    if (key.length !== 16 && key.length !== 32) {
      throw new UsageError(`the oauth key ${kid} must have 16 or 32 bytes, not ${key.length}`);
    }
  }
}
