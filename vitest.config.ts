import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { CountsReporter } from './test/counts-reporter.ts';

/** Unit, vector, property, simulation and in-process end-to-end tests. Real peers live in vitest.interop.config.ts. */
const config: ViteUserConfig = defineConfig({
  resolve: { alias: { '#platform': fileURLToPath(new URL('./src/io/platform.ts', import.meta.url)) } },
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**', 'node_modules/**'],
    testTimeout: 60_000,
    passWithNoTests: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', new CountsReporter()],
  },
});
export default config;
