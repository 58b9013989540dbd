import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { finished } from 'node:stream/promises';
import type { RTCDataChannel, RTCPeerConnection } from '../../peer-connection/index.ts';
import { CliError } from '../exit.ts';
import { FILE_PROTOCOL } from './messages.ts';

/*
 * A file has a channel of its own: text {name, size} → binary chunks → text {sha256} → answered by text {ok, sha256};
 * then the sender closes the channel. The page's files.ts is the other implementation.
 */

const CHUNK_BYTES = 64 * 1024;
/** Bytes waiting in the channel at which reading the file pauses; it goes on at half of it. */
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
/** The largest file that is received. */
export const MAX_FILE_BYTES: number = 1024 * 1024 * 1024;
/** Bytes received and not yet on the disk: a channel cannot be told to wait, so a disk that is too slow fails the transfer. */
const MAX_UNWRITTEN_BYTES = 64 * 1024 * 1024;
const PROGRESS_EVERY_MS = 100;
/** Files of the same name in one folder. */
const MAX_COPIES = 1000;

export interface FileResult {
  readonly name: string;
  readonly bytes: number;
  /** Lower-case hex; both sides have computed it. */
  readonly sha256: string;
  readonly ms: number;
}

export type Progress = (file: string, bytes: number, total: number) => void;

interface FileHeader {
  readonly name: string;
  readonly size: number;
}

/**
 * Sends one file over a channel of its own.
 * @throws {CliError} the channel closed early, or the receiver computed another hash.
 */
export async function sendFile(pc: RTCPeerConnection, path: string, progress: Progress): Promise<FileResult> {
  const { size } = await stat(path);
  const name = basename(path);
  const channel = pc.createDataChannel(name, { protocol: FILE_PROTOCOL });
  channel.binaryType = 'arraybuffer';
  channel.bufferedAmountLowThreshold = HIGH_WATER_BYTES / 2;
  try {
    await next(channel, 'open');
    const answer = next(channel, 'message');
    answer.catch(() => undefined); // looked at below; until then the sending loop notices the close
    const startedAt = performance.now();
    const report = throttled(progress);
    const hash = createHash('sha256');
    channel.send(JSON.stringify({ name, size }));
    let sent = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
      const bytes: Uint8Array = chunk;
      hash.update(bytes);
      if (channel.bufferedAmount > HIGH_WATER_BYTES) await next(channel, 'bufferedamountlow');
      channel.send(bytes);
      sent += bytes.length;
      report(name, Math.max(sent - channel.bufferedAmount, 0), size);
    }
    const sha256 = hash.digest('hex');
    channel.send(JSON.stringify({ sha256 }));
    const result = parseRecord((await answer).data);
    if (result?.['ok'] !== true) throw new CliError(`the receiver of ${name} computed another SHA-256`);
    progress(name, size, size);
    return { name, bytes: size, sha256, ms: performance.now() - startedAt };
  } catch (error) {
    // The receiver may close between two chunks: then it is the next send that throws.
    if (error instanceof CliError || channel.readyState === 'open') throw error;
    throw closedEarly(channel);
  } finally {
    channel.close();
  }
}

/**
 * Receives the file of a channel that the peer opened into `folder`.
 * @returns what arrived, once its hash is verified.
 * @throws {CliError} the channel closed early, the announcement is not acceptable, or size or hash differ.
 */
export async function receiveFile(channel: RTCDataChannel, folder: string, progress: Progress): Promise<FileResult> {
  channel.binaryType = 'arraybuffer';
  const messages = new MessageQueue(channel);
  try {
    const header = readHeader(await messages.next());
    const startedAt = performance.now();
    const report = throttled(progress);
    const hash = createHash('sha256');
    const file = (await createNew(folder, safeName(header.name))).createWriteStream();
    const written = finished(file);
    written.catch(() => undefined); // awaited at the end; a failure in between shows there
    let received = 0;
    let message = await messages.next();
    for (; typeof message !== 'string'; message = await messages.next()) {
      const bytes = new Uint8Array(message);
      received += bytes.length;
      if (received > header.size) throw new CliError(`${header.name} has more bytes than the ${header.size} announced`);
      if (file.writableLength > MAX_UNWRITTEN_BYTES) throw new CliError('the disk is slower than the network');
      hash.update(bytes);
      file.write(bytes);
      report(header.name, received, header.size);
    }
    file.end();
    await written;
    const sha256 = hash.digest('hex');
    // A browser page that is not in a secure context cannot hash: then the size is all there is to compare.
    const theirs = parseRecord(message)?.['sha256'];
    const ok = received === header.size && (theirs === undefined || theirs === sha256);
    channel.send(JSON.stringify({ ok, sha256 }));
    if (!ok)
      throw new CliError(`${header.name} arrived damaged: ${received} of ${header.size} bytes, SHA-256 ${sha256}`);
    progress(header.name, received, header.size);
    return { name: header.name, bytes: received, sha256, ms: performance.now() - startedAt };
  } catch (error) {
    channel.close();
    throw error;
  } finally {
    messages.stop();
  }
}

function readHeader(message: string | ArrayBuffer): FileHeader {
  const { name, size } = parseRecord(message) ?? {};
  if (typeof name !== 'string' || typeof size !== 'number' || !Number.isInteger(size) || size < 0) {
    throw new CliError('the peer announced something that is no file');
  }
  if (size > MAX_FILE_BYTES)
    throw new CliError(`the peer announced ${size} bytes; at most ${MAX_FILE_BYTES} are taken`);
  return { name: name.slice(0, 200), size };
}

/** The peer chooses the name: nothing of it may leave the folder, hide itself or be a device. */
export function safeName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? '';
  return `received-${last.replace(/[^\p{L}\p{N}._ -]/gu, '_').slice(-100)}`;
}

/** Never overwrites: a taken name gets a number. */
async function createNew(folder: string, name: string): Promise<FileHandle> {
  const extension = extname(name);
  const stem = name.slice(0, name.length - extension.length);
  for (let copy = 1; ; copy++) {
    try {
      return await open(join(folder, copy === 1 ? name : `${stem}-${copy}${extension}`), 'wx');
    } catch (error) {
      const taken = error instanceof Error && 'code' in error && error.code === 'EEXIST';
      if (!taken || copy >= MAX_COPIES) throw error;
    }
  }
}

function parseRecord(message: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof message !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(message);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // not JSON: the caller says what it expected
  }
}

function throttled(progress: Progress): Progress {
  let last = 0;
  return (file, bytes, total) => {
    const now = performance.now();
    if (now - last < PROGRESS_EVERY_MS) return;
    last = now;
    progress(file, bytes, total);
  };
}

function closedEarly(channel: RTCDataChannel): CliError {
  return new CliError(`the channel "${channel.label}" closed early`);
}

/** The next event of a kind. @throws {CliError} when the channel closes first. */
export function next(
  channel: RTCDataChannel,
  type: 'open' | 'message' | 'bufferedamountlow',
): Promise<{ readonly data?: unknown }> {
  return new Promise((resolve, reject) => {
    const onClose = () => {
      channel.removeEventListener(type, onEvent);
      reject(closedEarly(channel));
    };
    const onEvent = (event: Event) => {
      channel.removeEventListener('close', onClose);
      resolve({ data: 'data' in event ? event.data : undefined });
    };
    channel.addEventListener(type, onEvent, { once: true });
    channel.addEventListener('close', onClose, { once: true });
    if (channel.readyState === 'closed') onClose();
    else if (type === 'open' && channel.readyState === 'open') {
      channel.removeEventListener('open', onEvent);
      onEvent(new Event('open'));
    }
  });
}

/** Messages of a channel in their order, taken one by one; none is lost between two takes. */
class MessageQueue {
  readonly #channel: RTCDataChannel;
  readonly #messages: (string | ArrayBuffer)[] = [];
  #closed = false;
  #wake: () => void = () => undefined;

  constructor(channel: RTCDataChannel) {
    this.#channel = channel;
    channel.addEventListener('message', this.#onMessage);
    channel.addEventListener('close', this.#onClose);
  }

  readonly #onMessage = (event: MessageEvent): void => {
    const data: unknown = event.data;
    if (typeof data === 'string' || data instanceof ArrayBuffer) this.#messages.push(data);
    this.#wake();
  };

  readonly #onClose = (): void => {
    this.#closed = true;
    this.#wake();
  };

  async next(): Promise<string | ArrayBuffer> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.#closed) throw new CliError(`the channel "${this.#channel.label}" closed before the end of the file`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  stop(): void {
    this.#channel.removeEventListener('message', this.#onMessage);
    this.#channel.removeEventListener('close', this.#onClose);
  }
}
