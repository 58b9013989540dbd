import { UsageError, utf8 } from '../../core/index.ts';
import { MAX_TEXT_BYTES } from '../../stun/index.ts';
import type { TurnServerCoreOptions } from './types.ts';

/** @throws {UsageError} for options with which a server would serve nobody, or everybody. */
export function checkOptions(options: TurnServerCoreOptions): void {
  const { findUser, authSecrets = [], oauth, stunOnly, software = '', realm, realmsByOrigin = {} } = options;
  if (options.relayAddresses.length === 0) throw new UsageError('a TURN server needs a relay address');
  if (findUser === undefined && authSecrets.length === 0 && oauth === undefined && stunOnly !== true) {
    throw new UsageError('a TURN server needs users, a secret or token keys: without it is an open proxy');
  }
  const texts = [software, realm, ...Object.values(realmsByOrigin), oauth?.serverName ?? ''];
  if (texts.some((text) => utf8(text).length > MAX_TEXT_BYTES)) {
    throw new UsageError(`realms, software and the oauth server name are ${MAX_TEXT_BYTES} bytes at most`);
  }
  for (const { kid, key } of oauth?.keys ?? []) {
    if (key.length !== 16 && key.length !== 32) {
      throw new UsageError(`the oauth key ${kid} must have 16 or 32 bytes, not ${key.length}`);
    }
  }
}
