import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { MAX_WAITING_MESSAGES, spawnProcess } from '../../src/server/turn-worker-process.ts';

/** Reads nothing until there is a file named `go` beside it. */
const SLOW_WORKER = `
  import { existsSync } from 'node:fs';
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(new URL('./go', import.meta.url))) Atomics.wait(nothing, 0, 0, 10);
  process.on('message', (message, socket) => socket?.destroy());
`;

it(`is busy when ${MAX_WAITING_MESSAGES} messages wait behind a connection, and free when it has taken them`, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'purertc-worker-'));
  const script = join(folder, 'worker.mjs');
  writeFileSync(script, SLOW_WORKER);
  const worker = spawnProcess(pathToFileURL(script));
  const server = createServer().listen(0, '127.0.0.1');
  try {
    await once(server, 'listening');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [socket] = await once(server, 'connection');
    worker.send({ type: 'stream' }, socket);
    for (let sent = 1; sent < MAX_WAITING_MESSAGES; sent++) {
      await new Promise((resolve) => setImmediate(resolve)); // what could be written would be by now
      expect(worker.isBusy).toBe(false);
      worker.send({ type: 'drain' });
    }
    worker.send({ type: 'drain' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(worker.isBusy).toBe(true);
    writeFileSync(join(folder, 'go'), '');
    await expect.poll(() => worker.isBusy).toBe(false);
    client.destroy();
  } finally {
    worker.kill();
    server.close();
    rmSync(folder, { recursive: true });
  }
});
