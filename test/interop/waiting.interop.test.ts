import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

/** With the built package, imported by its name. */
describe('a program that waits for its signaling server', () => {
  it('stays alive until it gives up, and ends then', async () => {
    const program = `
      import { SignalingConnection } from 'purertc/server';
      const connection = new SignalingConnection({
        url: 'ws://127.0.0.1:9', // where none is
        backoffMs: 300,
        maxAttempts: 2,
        onEvent: (event) => event.type === 'state' && console.log(event.state),
      });
      connection.join('garden', 'Ada');`;
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', program], { cwd: root });
    expect([stdout, stderr]).toEqual(['dialing\nwaiting\ndialing\nclosed\n', '']);
  });
});
