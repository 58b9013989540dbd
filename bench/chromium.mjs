/**
 * Headless Chromium as a subject: pages that do what `peer-commands.mjs` says. Each peer is a page in a
 * context of its own, so that two peers are two renderer processes of one browser.
 */
import { createServer } from 'node:http';
import { browserVersion, treeBytes, treeCpuUs } from './machine.mjs';
import { NoAnswer } from './no-answer.mjs';
import { createPeer } from './peer-commands.mjs';
import { chromiumPath } from './subjects.mjs';

const COMMAND_TIMEOUT_MS = 8000;

/** No services of its own, willing to use loopback, addresses instead of `.local` names, pages that never sleep. */
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--allow-loopback-in-peer-connection',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--disable-background-timer-throttling',
  '--disable-renderer-backgrounding',
  '--disable-backgrounding-occluded-windows',
];

/** `{browser, server, origin}` once the first page is wanted. */
let host;

async function start() {
  const executablePath = chromiumPath();
  if (executablePath === undefined) throw new Error('chromium is not installed (scripts/install-interop-peers.sh)');
  const { chromium } = await import('playwright-core');
  const server = createServer((_request, response) => {
    // Isolated pages have a clock of 5 µs, others one of 100 µs.
    response.setHeader('cross-origin-opener-policy', 'same-origin');
    response.setHeader('cross-origin-embedder-policy', 'require-corp');
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end('<!doctype html><title>purertc bench</title>');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browserServer = await chromium.launchServer({ executablePath, args: FLAGS });
  const browser = await chromium.connect(browserServer.wsEndpoint());
  browserVersion.chromium = browser.version();
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { browser, browserServer, server, origin, pid: browserServer.process().pid, pages: new Set() };
}

export async function openPagePeer() {
  host ??= start();
  const { browser, origin } = await host;
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(origin);
  const peer = new PagePeer(page, await host);
  const text = `(${createPeer.toString()})(RTCPeerConnection, { iceServers: [] }, () => ({ cpuUs: 0, rssBytes: 0 }), true)`;
  await page.evaluate(`globalThis.peer = ${text}; undefined`);
  return peer;
}

/** Ends the browser, if there is one. */
export async function closeChromium() {
  if (host === undefined) return;
  const { browser, browserServer, server } = await host;
  host = undefined;
  await browser.close();
  await browserServer.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** The same face as a `ProcessPeer`. What the browser uses is counted once, by the first of its pages. */
class PagePeer {
  constructor(page, owner) {
    this.page = page;
    this.owner = owner;
    owner.pages.add(this);
  }

  call(command, ...args) {
    return this.callWithin(0, command, ...args);
  }

  async callWithin(ms, command, ...args) {
    const counts = command === 'measure' && this.#isFirst();
    const before = counts ? treeCpuUs(this.owner.pid) : 0;
    const limitMs = ms + COMMAND_TIMEOUT_MS;
    let timer;
    const late = new Promise((_resolve, reject) => {
      timer = setTimeout(() => reject(new NoAnswer(command, limitMs)), limitMs);
    });
    const call = this.page.evaluate(({ command, args }) => globalThis.peer[command](...args), { command, args });
    call.catch(() => undefined); // may fail after the time is up, when the page is closed
    try {
      const result = await Promise.race([call, late]);
      if (!counts) return result;
      return { ...result, cpuUs: treeCpuUs(this.owner.pid) - before, rssBytes: treeBytes(this.owner.pid) };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Of the whole browser, now. */
  peakBytes() {
    return treeBytes(this.owner.pid);
  }

  async end() {
    this.owner.pages.delete(this);
    await this.page.context().close();
  }

  #isFirst() {
    const [first] = this.owner.pages;
    return first === this;
  }
}
