import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { networkInterfaces } from 'node:os';
import type { TransportAddress } from '../../core/index.ts';
import { boundAddress, outliveAcceptErrors } from '../../io/index.ts';

/** The page's files: nothing else can be asked for, whatever the path says. */
const FILES: readonly { readonly path: string; readonly file: string; readonly type: string }[] = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/page.css', file: 'page.css', type: 'text/css; charset=utf-8' },
  ...['main', 'signaling', 'link', 'files', 'view'].map((name) => ({
    path: `/${name}.js`,
    file: `${name}.js`,
    type: 'text/javascript; charset=utf-8',
  })),
];

/** What the page is told: the room that the Node peer is in, and the STUN and TURN server on the host it was loaded from. */
export interface PageConfig {
  readonly room: string;
  readonly turnPort: number;
  /** Of this run alone. Whoever may load the page may relay. */
  readonly username: string;
  readonly credential: string;
}

/** Where the built page is, next to this file in `dist`. */
const PAGE_FOLDER: URL = new URL('./page/', import.meta.url);

/** Serves the demo's page. Upgrades are left to the signaling server, which is attached to {@link http}. */
export class PageServer {
  readonly http: Server;
  readonly #content = new Map<string, { readonly body: Buffer; readonly type: string }>();
  /** Host header values that are answered; others are a page that was talked into asking us (DNS rebinding). */
  #hosts: ReadonlySet<string> = new Set();

  private constructor() {
    this.http = createServer((request, response) => this.#answer(request, response));
  }

  /** Reads the files once. @throws rejects when the page was not built. */
  static async create(config: PageConfig, folder: URL = PAGE_FOLDER): Promise<PageServer> {
    const server = new PageServer();
    for (const { path, file, type } of FILES) {
      server.#content.set(path, { body: await readFile(new URL(file, folder)), type });
    }
    const json = Buffer.from(JSON.stringify(config));
    server.#content.set('/config.json', { body: json, type: 'application/json; charset=utf-8' });
    return server;
  }

  /** @returns what it is bound to. @throws rejects with the system's error. */
  async listen(host: string, port: number): Promise<TransportAddress> {
    await new Promise<void>((resolve, reject) => {
      this.http.once('error', reject);
      this.http.listen(port, host, () => {
        this.http.off('error', reject);
        outliveAcceptErrors(this.http, 'the page server');
        resolve();
      });
    });
    const bound = boundAddress(this.http);
    this.#hosts = new Set(ownHosts(bound));
    return bound;
  }

  /** Origins of this page: what may open a WebSocket from a browser. Call it after {@link listen}. */
  origins(): string[] {
    return [...this.#hosts].map((host) => `http://${host}`);
  }

  async close(): Promise<void> {
    if (!this.http.listening) return;
    const closed = new Promise((resolve) => this.http.close(resolve));
    this.http.closeAllConnections();
    await closed;
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const host = request.headers.host ?? '';
    for (const [name, value] of Object.entries(securityHeaders(host))) response.setHeader(name, value);
    if (!this.#hosts.has(host)) {
      plain(response, 421, 'This server does not answer to that name.');
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      plain(response, 405, 'Only GET and HEAD.');
    } else {
      const content = this.#content.get((request.url ?? '/').split('?', 1)[0] ?? '/');
      if (content === undefined) {
        plain(response, 404, 'There is no such page.');
        return;
      }
      response.writeHead(200, { 'content-type': content.type, 'content-length': content.body.length });
      response.end(request.method === 'HEAD' ? undefined : content.body);
    }
  }
}

/** The page may load what it is made of and talk to this host; nothing else, and nobody may frame it. */
function securityHeaders(host: string): Readonly<Record<string, string>> {
  const safeHost = /^[\w.:[\]-]+$/.test(host) ? ` ws://${host}` : '';
  return {
    'content-security-policy':
      `default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'${safeHost}; img-src data:; ` +
      `base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cache-control': 'no-store',
  };
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}

/** `host:port` of every way to name this server: what it is bound to, all own addresses when that is a wildcard. */
function ownHosts(bound: TransportAddress): string[] {
  const wildcard = bound.ip === '0.0.0.0' || bound.ip === '::';
  const loopback = bound.ip.startsWith('127.') || bound.ip === '::1';
  const addresses = wildcard
    ? Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address))
    : [bound.ip];
  const names = addresses.map((ip) => (ip.includes(':') ? `[${ip}]` : ip));
  if (wildcard || loopback) names.push('localhost');
  return names.flatMap((name) => (bound.port === 80 ? [name, `${name}:80`] : [`${name}:${bound.port}`]));
}
