import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../../examples', import.meta.url));
const run = promisify(execFile);

/** What examples print that need nothing but this machine. */
const OUTPUT: Readonly<Record<string, string>> = {
  'simple-peer.mjs': 'Bob got: hello from Alice\nAlice got: hello from Bob\n',
  'shared-map.mjs': 'minutes by ben, minutes by ben, minutes by ben\n',
  'webrtc-direct.mjs': 'server: the dialer is who it says\ndialer: welcome\n',
  'node-extras.mjs':
    'welcome, client 1\nwelcome, client 2\none port for both: true\nthe kept certificate: true\ncaptured: true\n',
  'pipe-file.mjs': 'the same file arrived\n',
  'dtls-echo.mjs':
    'server: port #, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\nclient: hello\nclient: still here\nserver: port # is port # now\n',
};

/** With the built package, imported by its name. */
describe('examples', () => {
  it('are all here', () => {
    expect(readdirSync(folder).sort()).toEqual(Object.keys(OUTPUT).sort());
  });

  it.each(Object.entries(OUTPUT))('%s does what it says, and ends by itself', async (name, output) => {
    const { stdout, stderr } = await run(process.execPath, [join(folder, name)], { timeout: 30_000 });
    // openAsBlob is experimental in Node 20, and says so.
    const complaints = stderr
      .split('\n')
      .filter((line) => line !== '' && !/ExperimentalWarning|--trace-warnings/.test(line));
    expect([stdout.replaceAll(/\bport \d+/g, 'port #'), complaints]).toEqual([output, []]);
  });
});
