import * as crypto from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import type { GroupName, KeyType } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';

vi.mock('node:crypto', async (importOriginal) => {
  const original = await importOriginal<typeof crypto>();
  return { ...original, generateKeyPairSync: vi.fn(original.generateKeyPairSync) };
});

const generate = vi.mocked(crypto.generateKeyPairSync);

/**
 * Node 20 deadlocks, about twice in a million times, when a key object that a generation job made is exported while the
 * garbage collector ends that job. The hang cannot be provoked at will; that no such key object exists can be checked.
 */
describe('keys of the node backend', () => {
  it.each<GroupName>(['x25519', 'secp256r1', 'secp384r1'])('a %s share comes from no generation job', (group) => {
    generate.mockClear();
    expect(nodeCrypto.generateKeyShare(group).publicKey.length).toBeGreaterThan(31);
    expect(generate).not.toHaveBeenCalled();
  });

  it.each<KeyType>(['ecdsa-p256', 'ecdsa-p384'])('an %s key comes from no generation job', (type) => {
    generate.mockClear();
    expect(nodeCrypto.generateSigningKey(type).exportPkcs8().length).toBeGreaterThan(40);
    expect(generate).not.toHaveBeenCalled();
  });

  it.each<KeyType>(['ed25519', 'rsa'])('the job of an %s key encodes it itself', (type) => {
    generate.mockClear();
    expect(nodeCrypto.generateSigningKey(type).exportPkcs8().length).toBeGreaterThan(40);
    const results = generate.mock.results.map((result) => result.value as { privateKey: unknown; publicKey: unknown });
    expect(results.map(({ privateKey, publicKey }) => [privateKey, publicKey].every(Buffer.isBuffer))).toEqual([true]);
  });
});
