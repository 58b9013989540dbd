import { type CryptoBackend, type Env, SILENT, type Trace } from '../../src/core/index.ts';
import type { SeededRandom } from './random.ts';
import type { SimWorld } from './world.ts';

/** 2026-01-01T00:00:00Z: virtual time starts here on the wall clock. */
export const SIM_EPOCH_MS: number = Date.UTC(2026, 0, 1);

/** An `Env` in virtual time: everything a core draws from `env.random` comes from the world's seed. */
export function simEnv(world: SimWorld, crypto: CryptoBackend, trace: Trace = SILENT): Env {
  const random: SeededRandom = world.random.fork();
  return {
    random: (out) => random.fill(out),
    wallClockMs: () => SIM_EPOCH_MS + world.now,
    crypto,
    trace,
  };
}
