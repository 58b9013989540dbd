import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RTCDataChannel } from '../../peer-connection/index.ts';
import { SignalingConnection, type SignalingConnectionEvent } from '../../server/index.ts';
import type { PeerInfo } from '../../signaling/index.ts';
import { CliError, describeError } from '../exit.ts';
import { type FileResult, receiveFile, sendFile } from './file-transfer.ts';
import { formatBytes, formatRate } from './format.ts';
import type { FromPeer, PeerConfig } from './messages.ts';
import { PeerLink } from './peer-link.ts';

const BINARY_BYTES = 100_000;
/** What a browser may ask for with `/file`. */
const MAX_REQUESTED_MIB = 200;
/** How this peer answers text. */
const ACKNOWLEDGEMENT = /^\S{1,64} got \d+ characters: /u;
/** Binary messages and texts come back to the sender up to this size; larger ones are only acknowledged. */
const MAX_ECHO_BYTES = 256 * 1024;

/** One peer of the demo: it is in a room, has a link with each other peer there, and talks. */
export class DemoPeer {
  readonly #config: PeerConfig;
  readonly #report: (message: FromPeer) => void;
  readonly #signaling: SignalingConnection;
  readonly #links = new Map<string, PeerLink>();
  #answers: ((data: string | Uint8Array) => void)[] = [];
  #finished = false;

  constructor(config: PeerConfig, report: (message: FromPeer) => void) {
    this.#config = config;
    this.#report = report;
    this.#signaling = new SignalingConnection({
      url: config.signalingUrl,
      maxAttempts: config.attempts,
      onEvent: (event) => this.#onSignaling(event),
    });
  }

  start(): void {
    this.#signaling.join(this.#config.room, this.#config.name);
  }

  stop(): void {
    this.#finished = true;
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.#signaling.close();
  }

  /** A line of the person at the terminal, for everybody. */
  say(text: string): void {
    for (const link of this.#links.values()) if (link.isOpen) link.sendText(text);
  }

  /** A file of the person at the terminal, for everybody. */
  async sendFileToAll(path: string): Promise<void> {
    for (const link of this.#links.values()) if (link.isOpen) await this.#sendFile(link, path);
  }

  #onSignaling(event: SignalingConnectionEvent): void {
    switch (event.type) {
      case 'state':
        if (event.state === 'closed' && !this.#finished) this.#fail(`signaling: ${event.reason}`);
        return;
      case 'welcome': {
        const there = event.peers.map((peer) => peer.name).join(', ') || 'nobody';
        this.#step('signaling', `joined room "${event.room}", ${there} there`, false);
        this.#report({ type: 'ready' });
        // Whoever comes last offers. After a reconnection the old links live on; the others offer to whom they miss.
        if (this.#links.size === 0) for (const peer of event.peers) this.#guard(this.#link(peer).offer());
        return;
      }
      case 'peer-joined':
        this.#step('signaling', `${event.peer.name} came into the room`, false);
        this.#link(event.peer);
        return;
      case 'peer-left': {
        const link = this.#links.get(event.id);
        if (link?.isOpen === false) this.#forget(link);
        return;
      }
      case 'description': {
        const link = this.#links.get(event.from);
        if (link !== undefined) this.#guard(link.handleDescription(event.description));
        return;
      }
      case 'candidate': {
        const link = this.#links.get(event.from);
        if (link !== undefined) this.#guard(link.handleCandidate(event.candidate));
        return;
      }
      case 'error':
        this.#step('signaling', `the server refused: ${event.message} (${event.code})`, false);
    }
  }

  #link(peer: PeerInfo): PeerLink {
    const { iceServers, relayOnly } = this.#config;
    const ice = { iceServers, iceTransportPolicy: relayOnly ? 'relay' : 'all' } as const;
    const link = new PeerLink(peer, this.#signaling, ice, {
      onStep: (step, text, done) => this.#step(step, text, done),
      onOpen: (opened) => this.#onOpen(opened),
      onText: (from, text) => this.#onText(from, text),
      onBinary: (from, bytes) => this.#onBinary(from, bytes),
      onFile: (from, channel) => void this.#onFile(from, channel),
      onEnd: (ended, reason) => {
        this.#forget(ended);
        if (this.#config.sendFile !== undefined) this.#fail(`${ended.peer.name}: ${reason}`);
        else this.#step('communicating', `${ended.peer.name} is gone: ${reason}`, false);
      },
    });
    this.#links.set(peer.id, link);
    return link;
  }

  #forget(link: PeerLink): void {
    link.close();
    this.#links.delete(link.peer.id);
  }

  #onOpen(link: PeerLink): void {
    if (this.#config.sendFile !== undefined) this.#guard(this.#runThrough(link, this.#config.sendFile));
    else if (this.#config.greet) {
      link.sendText(
        `Hello ${link.peer.name}, this is ${this.#config.name}, a Node process. Write to me, send me a file, or ask for one: /file 10`,
      );
    }
  }

  /** The sender's programme: text, binary, a file. */
  async #runThrough(link: PeerLink, path: string): Promise<void> {
    const { name } = link.peer;
    const text = `Hello ${name}, this is ${this.#config.name}. Grüße, 你好, 👋`;
    const startedAt = performance.now();
    const textAnswer = this.#nextAnswer((data) => typeof data === 'string' && data.includes(text));
    link.sendText(text);
    this.#step('communicating', `text to ${name}: ${text}`, false);
    await textAnswer;
    this.#step('communicating', `text came back in ${(performance.now() - startedAt).toFixed(1)} ms`, false);

    const bytes = Uint8Array.from(randomBytes(BINARY_BYTES));
    const echo = this.#nextAnswer((data) => typeof data !== 'string');
    link.sendBinary(bytes);
    const back = await echo;
    if (sha256(back) !== sha256(bytes)) throw new CliError('the binary message came back changed');
    this.#step('communicating', `binary: ${formatBytes(bytes.length)} came back unchanged`, false);

    const result = await sendFile(link.pc, path, (file, sent, total) =>
      this.#report({ type: 'progress', file, bytes: sent, total }),
    );
    this.#step('communicating', `file sent: ${describeFile(result)}`, true);
    this.#report({ type: 'finished' });
  }

  #nextAnswer(matches: (data: string | Uint8Array) => boolean): Promise<string | Uint8Array> {
    return new Promise((resolve) => {
      const listener = (data: string | Uint8Array) => {
        if (!matches(data)) return;
        this.#answers = this.#answers.filter((other) => other !== listener);
        resolve(data);
      };
      this.#answers.push(listener);
    });
  }

  #onText(link: PeerLink, text: string): void {
    for (const answer of this.#answers) answer(text);
    if (this.#config.sendFile !== undefined) return;
    this.#step('communicating', `text from ${link.peer.name}: ${text.slice(0, 200)}`, false);
    if (ACKNOWLEDGEMENT.test(text)) return; // two peers that acknowledge acknowledgements would never stop
    const request = /^\/file (\d{1,3})$/.exec(text);
    if (request !== null) void this.#sendRequested(link, Number(request[1]));
    else link.sendText(`${this.#config.name} got ${[...text].length} characters: ${text.slice(0, MAX_ECHO_BYTES / 4)}`);
  }

  #onBinary(link: PeerLink, bytes: Uint8Array): void {
    for (const answer of this.#answers) answer(bytes);
    if (this.#config.sendFile !== undefined) return;
    this.#step('communicating', `binary from ${link.peer.name}: ${formatBytes(bytes.length)}`, false);
    if (bytes.length <= MAX_ECHO_BYTES) link.sendBinary(Uint8Array.from(bytes));
  }

  async #onFile(link: PeerLink, channel: RTCDataChannel): Promise<void> {
    try {
      const result = await receiveFile(channel, this.#config.saveTo, () => undefined);
      this.#step('communicating', `file from ${link.peer.name}, SHA-256 verified: ${describeFile(result)}`, true);
      if (this.#config.greet && link.isOpen) link.sendText(`Got ${describeFile(result)}`);
    } catch (error) {
      this.#step('communicating', `file from ${link.peer.name} failed: ${describeError(error)}`, false);
    }
  }

  /** Makes a file of random bytes and sends it. */
  async #sendRequested(link: PeerLink, mib: number): Promise<void> {
    if (mib < 1 || mib > MAX_REQUESTED_MIB) {
      link.sendText(`Ask for 1 to ${MAX_REQUESTED_MIB} MiB, please.`);
      return;
    }
    try {
      const path = join(this.#config.folder, `random-${mib}-MiB.bin`);
      await writeFile(path, randomBytes(mib * 1024 * 1024));
      await this.#sendFile(link, path);
    } catch (error) {
      this.#step('communicating', `file to ${link.peer.name} failed: ${describeError(error)}`, false);
    }
  }

  async #sendFile(link: PeerLink, path: string): Promise<void> {
    try {
      const result = await sendFile(link.pc, path, () => undefined);
      this.#step('communicating', `file to ${link.peer.name}: ${describeFile(result)}`, false);
    } catch (error) {
      this.#step('communicating', `file to ${link.peer.name} failed: ${describeError(error)}`, false);
    }
  }

  #step(step: (FromPeer & { readonly type: 'step' })['step'], text: string, done: boolean): void {
    this.#report({ type: 'step', step, text, done, atMs: performance.timeOrigin + performance.now() });
  }

  /** What is not awaited must not vanish: an error there ends the demo. */
  #guard(work: Promise<void>): void {
    work.catch((error: unknown) => this.#fail(describeError(error)));
  }

  #fail(reason: string): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#report({ type: 'failed', reason });
  }
}

function describeFile(file: FileResult): string {
  return `${file.name}, ${formatBytes(file.bytes)} in ${(file.ms / 1000).toFixed(2)} s (${formatRate(file.bytes, file.ms)}), SHA-256 ${file.sha256}`;
}

function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
