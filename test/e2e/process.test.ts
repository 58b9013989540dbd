import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
let folder = '';
let library = '';

/** One file of JavaScript, as a program would import the package. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'purertc-'));
  await build({
    root,
    configFile: false,
    logLevel: 'silent',
    resolve: { alias: { '#platform': join(root, 'src/io/platform.ts') } },
    ssr: { noExternal: true },
    build: {
      ssr: join(root, 'src/index.ts'),
      outDir: folder,
      minify: false,
      rollupOptions: { output: { entryFileNames: 'purertc.mjs' } },
    },
  });
  library = pathToFileURL(join(folder, 'purertc.mjs')).href;
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a program does: connects two peers, sends something, closes. */
const CONNECT = `
  async function connect(n, more) {
    const options = { ...more, purertc: { interfaceFilter: ({ ip }) => ip === '127.0.0.1' } };
    const [a, b] = [new RTCPeerConnection(options), new RTCPeerConnection(options)];
    a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate);
    b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate);
    const channel = a.createDataChannel('x');
    const received = new Promise((resolve) => {
      b.ondatachannel = (event) => { event.channel.onmessage = ({ data }) => resolve(data); };
    });
    channel.onopen = () => channel.send('hello ' + n);
    await a.setLocalDescription();
    await b.setRemoteDescription(a.localDescription);
    await b.setLocalDescription();
    await a.setRemoteDescription(b.localDescription);
    const data = await received;
    a.close();
    b.close();
    return data;
  }
`;

function run(script: string, flags: readonly string[] = []): Promise<string> {
  const text = `import { RTCPeerConnection } from ${JSON.stringify(library)};\n${CONNECT}\n${script}`;
  return new Promise((resolve, reject) => {
    const args = [...flags, '--input-type=module', '-e', text];
    execFile(process.execPath, args, { timeout: 90_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${error.message}\n${stderr}`));
    });
  });
}

describe('a process of its own', () => {
  it('exits by itself once its connections are closed', async () => {
    expect(await run(`console.log(await connect(1), await connect(2));`)).toBe('hello 1 hello 2\n');
  });

  it('exits by itself when nothing was ever connected', async () => {
    expect(await run(`new RTCPeerConnection().createDataChannel('x'); console.log('done');`)).toBe('done\n');
  });

  it('stays for an event that is due: negotiationneeded with nothing else going on', async () => {
    const script = `
      const pc = new RTCPeerConnection();
      pc.onnegotiationneeded = () => console.log('needed');
      pc.createDataChannel('x');`;
    expect(await run(script)).toBe('needed\n');
  });

  it('opens and closes 1,000 connections: no socket, timer, listener or memory is left', async () => {
    const script = `
      import { queryObjects } from 'node:v8';
      const resources = () => process.getActiveResourcesInfo().filter((kind) => /UDP|TCP|Timeout|Immediate/.test(kind));
      const listeners = () => process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
      const certificates = [await RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' })];
      const many = async (pairs) => {
        for (let i = 0; i < pairs; i += 25) await Promise.all(Array.from({ length: 25 }, (_, n) => connect(i + n, { certificates })));
      };
      // Sockets that were closed a moment ago, and what finalizers wait for.
      const settled = async () => {
        for (let i = 0; i < 20; i++) {
          await new Promise(setImmediate);
          if (i % 4 === 3) gc();
        }
        return process.memoryUsage();
      };
      const before = { listeners: listeners() };
      await many(100); // most of the compiled code, tables and caches are there after these
      const first = await settled();
      await many(400);
      const last = await settled();
      const grown = (kind) => Math.round((last[kind] - first[kind]) / 1024);
      console.log(JSON.stringify({
        connections: queryObjects(RTCPeerConnection, { format: 'count' }), resources: resources(), listeners: listeners() - before.listeners,
        heapKiB: grown('heapUsed'), buffersKiB: grown('arrayBuffers'), externalKiB: grown('external'),
      }));`;
    const report = JSON.parse(await run(script, ['--expose-gc'])) as Record<string, unknown>;
    expect(report).toMatchObject({ connections: 0, resources: [], listeners: 0 });
    // The heap still grows by compiled code; one connection in twenty that stayed whole would be 5 MiB and more.
    for (const kind of ['heapKiB', 'buffersKiB', 'externalKiB']) expect(report[kind], kind).toBeLessThan(4096);
  }, 100_000);

  it('connects inside worker threads, several at once, many in each', async () => {
    const file = join(folder, 'worker.mjs');
    const source = `
      import { parentPort, workerData } from 'node:worker_threads';
      import { RTCPeerConnection } from ${JSON.stringify(library)};
      ${CONNECT}
      const names = Array.from({ length: 10 }, (_, i) => workerData + '.' + i);
      parentPort.postMessage(await Promise.all(names.map((name) => connect(name))));`;
    await writeFile(file, source);
    const results = await Promise.all(
      [1, 2, 3].map(
        (n) =>
          new Promise((resolve, reject) => {
            const worker = new Worker(file, { workerData: n });
            let message: unknown;
            worker.once('message', (value) => {
              message = value;
            });
            worker.once('error', reject);
            worker.once('exit', () => resolve(message)); // by itself, not by terminate()
          }),
      ),
    );
    expect(results).toEqual([1, 2, 3].map((n) => Array.from({ length: 10 }, (_, i) => `hello ${n}.${i}`)));
  });
});
