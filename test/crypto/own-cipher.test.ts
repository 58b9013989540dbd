import { createContext, runInContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { bytesToHex, type WebAssemblyEngine } from '../../src/core/index.ts';
import { chooseOwnCipher, ownCipher, withRecordCipher } from '../../src/crypto/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { REFUSALS } from '../core/wasm/refusing-engine.ts';

const KEY = new Uint8Array(32).fill(7);

function sealed(createAead: (key: Uint8Array) => ReturnType<typeof nodeCrypto.createAead>): string {
  const buffer = new Uint8Array(36).fill(1);
  createAead(KEY).seal(new Uint8Array(12), new Uint8Array(13), buffer, 0, 20);
  return bytesToHex(buffer);
}

describe('our own cipher', () => {
  it('is WebAssembly here, chosen once', () => {
    expect(ownCipher().implementation).toBe('webassembly');
    expect(ownCipher()).toBe(ownCipher());
  });

  it.each(REFUSALS)('is JavaScript where %s, says why, and seals to the same bytes', (_name, engine, reason) => {
    const cipher = chooseOwnCipher(engine);
    expect([cipher.implementation, cipher.reason]).toEqual(['javascript', reason]);
    expect(sealed(cipher.createAead)).toBe(sealed(ownCipher().createAead));
  });

  it('is JavaScript under a real policy against WebAssembly', () => {
    const forbidden = createContext({}, { codeGeneration: { wasm: false } });
    const engine: WebAssemblyEngine = runInContext('WebAssembly', forbidden);
    const cipher = chooseOwnCipher(engine);
    expect(cipher.implementation).toBe('javascript');
    expect(cipher.reason).toContain('disallowed by embedder');
  });

  it.each(['webassembly', 'javascript'] as const)(
    'in %s takes records up to the length given for it, and the backend takes longer ones',
    (implementation) => {
      const own = implementation === 'webassembly' ? ownCipher() : chooseOwnCipher(undefined);
      const longest = { webassembly: 0, javascript: 0, [implementation]: 50 };
      const calls: string[] = [];
      const counting = {
        ...own,
        createAead: (key: Uint8Array) => {
          const context = own.createAead(key);
          const seal: typeof context.seal = (nonce, aad, buffer, offset, length) => {
            calls.push(`${length}`);
            context.seal(nonce, aad, buffer, offset, length);
          };
          const open: typeof context.open = (nonce, aad, buffer, offset, length) => {
            calls.push(`${length - 16}`);
            return context.open(nonce, aad, buffer, offset, length);
          };
          return { tagLength: context.tagLength, seal, open };
        },
      };
      const context = withRecordCipher(nodeCrypto, longest, counting).createAead('chacha20-poly1305', KEY);
      for (const length of [49, 50, 51]) {
        const buffer = new Uint8Array(100);
        context.seal(new Uint8Array(12), new Uint8Array(0), buffer, 0, length);
        expect(context.open(new Uint8Array(12), new Uint8Array(0), buffer, 0, length + 16)).toBe(length);
      }
      expect(calls).toEqual(['49', '49', '50', '50']);
    },
  );
});
