import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { requireProgram } from './peers.ts';

/** Headless, no services of its own, and willing to use loopback candidates: the tests stay on this machine. */
const FLAGS: readonly string[] = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--allow-loopback-in-peer-connection',
];

/** A real Chromium and a page served by the project; {@link close} ends both. */
class ChromeHost {
  readonly #browser: Browser;
  readonly #server: Server;
  readonly origin: string;

  private constructor(browser: Browser, server: Server, origin: string) {
    this.#browser = browser;
    this.#server = server;
    this.origin = origin;
  }

  static async start(): Promise<ChromeHost> {
    const server = createServer((_request, response) => {
      response.setHeader('content-type', 'text/html; charset=utf-8');
      response.end('<!doctype html><title>purertc interop</title>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const browser = await chromium.launch({ executablePath: requireProgram('chromium'), args: [...FLAGS] });
    return new ChromeHost(browser, server, origin);
  }

  /** A fresh page of its own, with the functions of {@link pageScript} in it. */
  async openPage(): Promise<Page> {
    const page = await this.#browser.newPage();
    await page.goto(this.origin);
    await page.addScriptTag({ content: pageScript });
    return page;
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/**
 * A Chromium for the suite that this is called in, before its own hooks: it runs as long as the suite, and its pages as
 * long as the test that opened them.
 */
export function useChromium(): { openPage(): Promise<Page> } {
  let host: ChromeHost | undefined;
  const pages: Page[] = [];
  beforeAll(async () => {
    host = await ChromeHost.start();
  });
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close();
  });
  afterAll(() => host?.close());
  return {
    openPage: async () => {
      if (host === undefined) throw new Error('Chromium runs from beforeAll on: open pages in beforeEach or in a test');
      const page = await host.openPage();
      pages.push(page);
      return page;
    },
  };
}

/**
 * What runs in the page. Text, because it is Chromium's JavaScript and never the project's: nothing of purertc is in it.
 * `checksum` is FNV-1a over bytes (of a string: its UTF-8), the same as {@link checksum}.
 */
const pageScript = `
  window.checksum = (data) => {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data);
    let hash = 0x811c9dc5;
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    return { kind: typeof data === 'string' ? 'text' : 'binary', length: bytes.length, hash };
  };
  window.payload = (kind, length) => {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = kind === 'text' ? 32 + ((i * 7) % 95) : (i * 31 + (i >>> 8)) & 255;
    return kind === 'text' ? new TextDecoder().decode(bytes) : bytes.buffer;
  };
  window.gathered = (pc) => new Promise((resolve) => {
    const check = () => { if (pc.iceGatheringState === 'complete') resolve(); };
    pc.addEventListener('icegatheringstatechange', check);
    check();
  });
  window.opened = (channel) => new Promise((resolve, reject) => {
    if (channel.readyState === 'open') resolve();
    channel.addEventListener('open', () => resolve());
    channel.addEventListener('close', () => reject(new Error('closed before it opened')));
  });
  window.echo = (channel) => {
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', (event) => channel.send(event.data));
  };
  window.exchange = async (channel, sizes) => {
    channel.binaryType = 'arraybuffer';
    const results = [];
    for (const kind of ['text', 'binary']) {
      for (const length of sizes) {
        const data = payload(kind, length);
        const answer = new Promise((resolve) => channel.addEventListener('message', (event) => resolve(event.data), { once: true }));
        channel.send(data);
        results.push({ sent: checksum(data), received: checksum(await answer) });
      }
    }
    return results;
  };
`;

export interface Checksum {
  readonly kind: 'text' | 'binary';
  readonly length: number;
  readonly hash: number;
}

/** FNV-1a over the bytes of a message (RFC draft-eastlake-fnv): quick, and the same in the page. */
export function checksum(data: string | ArrayBuffer): Checksum {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data);
  let hash = 0x811c9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return { kind: typeof data === 'string' ? 'text' : 'binary', length: bytes.length, hash };
}

/** The same bytes as the page's `payload`. */
export function payload(kind: 'text' | 'binary', length: number): string | ArrayBuffer {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = kind === 'text' ? 32 + ((i * 7) % 95) : (i * 31 + (i >>> 8)) & 255;
  return kind === 'text' ? new TextDecoder().decode(bytes) : bytes.buffer;
}
