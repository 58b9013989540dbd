import { fileURLToPath } from 'node:url';
import { defineConfig, type ViteUserConfig } from 'vitest/config';
import { CountsReporter } from './test/counts-reporter.ts';

/** Tests against real peers (Chromium, OpenSSL, GnuTLS, coturn), which scripts/install-interop-peers.sh installs. */
const config: ViteUserConfig = defineConfig({
  resolve: { alias: { '#platform': fileURLToPath(new URL('./src/io/platform.ts', import.meta.url)) } },
  test: {
    include: ['test/interop/**/*.interop.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // The peers are processes of their own: two files at once would only make each other's timers late.
    fileParallelism: false,
    passWithNoTests: false,
    reporters: process.env['CI'] === undefined ? ['default'] : ['default', new CountsReporter()],
  },
});

export default config;
