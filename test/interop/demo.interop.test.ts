import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { useChromium } from './chrome.ts';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** `purertc demo`, as a person runs it after `npm run build`. */
class DemoProcess {
  readonly exited: Promise<number | null>;
  output = '';
  readonly #child: ChildProcess;
  readonly #waiting: (() => void)[] = [];

  constructor(args: readonly string[]) {
    this.#child = spawn(process.execPath, [MAIN, 'demo', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    const collect = (text: unknown) => {
      this.output += String(text);
      for (const wake of this.#waiting.splice(0)) wake();
    };
    this.#child.stdout?.on('data', collect);
    this.#child.stderr?.on('data', collect);
    this.exited = new Promise((resolve) => this.#child.once('exit', resolve));
    void this.exited.then(() => collect(''));
  }

  /** The first match in what was printed so far, or is printed next. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output);
      if (match !== null) return match;
      if (this.#child.exitCode !== null) throw new Error(`${pattern} was not printed:\n${this.output}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null) this.#child.kill('SIGINT');
    return this.exited;
  }
}

describe('purertc demo', () => {
  const chromium = useChromium();

  it('goes through the four steps by itself and ends with 0', async () => {
    const demo = new DemoProcess(['--file-size', '3']);
    expect([await demo.exited, demo.output]).toEqual([0, expect.stringContaining('All four steps work')]);
    for (const line of [
      /1 signaling .* answer from Ada received/,
      /2 connecting .* candidate found: host 127\.0\.0\.1:\d+ udp/,
      /2 connecting .* pair selected: /,
      /3 securing .* DTLS 1\.2 as (client|server): TLS_ECDHE_ECDSA_\w+/,
      /3 securing .* certificate matches sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}/,
      /4 communicating .* channel "chat" to Ada open/,
      /4 communicating .* file from Bob, SHA-256 verified: 3-MiB\.bin/,
    ]) {
      expect(demo.output).toMatch(line);
    }
  });

  it('--relay does the same through its TURN server alone', async () => {
    const demo = new DemoProcess(['--relay', '--file-size', '3']);
    expect([await demo.exited, demo.output]).toEqual([
      0,
      expect.stringMatching(/The TURN server relayed [3-9]\.\d MiB/),
    ]);
    expect(demo.output).toMatch(/pair selected: relay \S+ udp to relay \S+ udp/);
    expect(demo.output).not.toContain('candidate found: host');
  });

  it('a failure ends with its reason and 1', async () => {
    const demo = new DemoProcess(['--timeout', '1', '--file-size', '1000']);
    expect(await demo.exited).toBe(1);
    expect(demo.output).toMatch(/purertc: not done within 1 s; still waiting for: \w+/);
  });

  it('ends without a word of Node when nobody reads it any more', async () => {
    const demo = spawn(process.execPath, [MAIN, 'demo', '--file-size', '1'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    demo.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    demo.stdout.once('data', () => demo.stdout.destroy());
    const code = await new Promise((resolve) => demo.once('close', resolve));
    expect([code, errors]).toEqual([141, 'purertc: nothing more is printed: write EPIPE\n']);
  });

  it('--serve lets a browser chat with the Node peer and exchange files with it, and ends with 0', async () => {
    const demo = new DemoProcess(['--serve', '--file-size', '1']);
    const [, url] = await demo.printed(/Open (http:\S+) in a browser/);
    const page = await chromium.openPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(error.message));
    await page.goto(url!);
    await page.waitForSelector('#status[data-state=connected]');
    await page.fill('#text', 'Grüße aus dem Browser');
    await page.click('#send');
    await page.getByText('Ada got 21 characters: Grüße aus dem Browser').waitFor();
    await demo.printed(/text from Guest \d+: Grüße aus dem Browser/);
    demo.type('a line from the terminal');
    await page.getByText('a line from the terminal').waitFor();

    await page.setInputFiles('#file', { name: 'own.bin', mimeType: '', buffer: Buffer.alloc(1_500_000, 7) });
    await page.locator('.transfer.mine[data-state=done]', { hasText: 'SHA-256 verified' }).waitFor();
    await demo.printed(/file from Guest \d+, SHA-256 verified: own\.bin, 1\.4 MiB/);
    await page.click('#request');
    const received = page.locator('.transfer:not(.mine)[data-state=done]', { hasText: 'SHA-256 verified' });
    await received.waitFor();
    const download = page.waitForEvent('download');
    await received.getByText('Save').click();
    expect((await download).suggestedFilename()).toBe('random-10-MiB.bin');

    expect(await page.locator('#steps li[data-step][data-state=done]').count()).toBe(4);
    expect(errors).toEqual([]);
    await page.close(); // the guest leaves before the demo ends
    expect(await demo.stop()).toBe(0);
  });
});
