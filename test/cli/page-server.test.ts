import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PageServer } from '../../src/cli/demo/page-server.ts';
import { temporaryFolder } from './support.ts';

const CONFIG = { room: 'r', turnPort: 3478, username: 'u', credential: 'c' };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let server: PageServer;
let port: number;

beforeEach(async () => {
  folder = await temporaryFolder();
  for (const name of [
    'index.html',
    'page.css',
    'main.js',
    'signaling.js',
    'link.js',
    'files.js',
    'view.js',
    'secret',
  ]) {
    await writeFile(`${folder.path}/${name}`, `content of ${name}`);
  }
  server = await PageServer.create(CONFIG, pathToFileURL(`${folder.path}/`));
  ({ port } = await server.listen('127.0.0.1', 0));
});
afterEach(async () => {
  await server.close();
  await folder.remove();
});

/** Sends the path as it is: `fetch` would clean it up. */
function get(path: string, options: { method?: string; host?: string } = {}) {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const headers = { host: options.host ?? `127.0.0.1:${port}` };
    const outgoing = request(
      { host: '127.0.0.1', port, path, method: options.method ?? 'GET', headers },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          body += text;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

describe('PageServer', () => {
  it.each([
    ['/', 'index.html', 'text/html; charset=utf-8'],
    ['/?x=1', 'index.html', 'text/html; charset=utf-8'],
    ['/page.css', 'page.css', 'text/css; charset=utf-8'],
    ['/main.js', 'main.js', 'text/javascript; charset=utf-8'],
  ])('serves %s', async (path, file, type) => {
    const { status, headers, body } = await get(path);
    expect([status, body, headers['content-type']]).toEqual([200, `content of ${file}`, type]);
  });

  it('tells the page its room and the STUN and TURN server', async () => {
    expect(JSON.parse((await get('/config.json')).body)).toEqual(CONFIG);
  });

  it.each([
    '/secret',
    '/../secret',
    '/%2e%2e/secret',
    '//secret',
    '/page/../secret',
    '/index.html/..',
    '*',
    '/\\secret',
  ])('has no %s', async (path) => {
    const { status, body } = await get(path);
    expect([status, body.includes('content of')]).toEqual([404, false]);
  });

  it('forbids the page everything but itself', async () => {
    const { headers } = await get('/');
    expect(headers['content-security-policy']).toBe(
      `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws://127.0.0.1:${port}; ` +
        `img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  it('answers HEAD without a body, and nothing but GET and HEAD', async () => {
    expect(await get('/', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    expect(await get('/', { method: 'POST' })).toMatchObject({ status: 405 });
  });

  it('answers only to its own names, so that no other page can be pointed here', async () => {
    expect((await get('/', { host: `localhost:${port}` })).status).toBe(200);
    for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1', "x' 'unsafe-inline'"]) {
      const { status, headers } = await get('/', { host });
      expect(status).toBe(421);
      expect(headers['content-security-policy']).not.toContain('unsafe');
    }
    expect(server.origins()).toEqual([`http://127.0.0.1:${port}`, `http://localhost:${port}`]);
  });

  it('a port in use, and a page that was not built, are rejections', async () => {
    const second = await PageServer.create(CONFIG, pathToFileURL(`${folder.path}/`));
    await expect(second.listen('127.0.0.1', port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.close();
    await expect(PageServer.create(CONFIG, pathToFileURL('/nowhere/'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});
