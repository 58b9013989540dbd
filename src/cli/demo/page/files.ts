/**
 * Files over data channels, one channel per file (src/cli/demo/file-transfer.ts is the Node end):
 * text {name, size} → binary chunks → text {sha256} → answered by text {ok, sha256}; then the sender closes the channel.
 */

export const FILE_PROTOCOL = 'purertc.demo.file';
const CHUNK_BYTES = 64 * 1024;
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
/** A file is held in memory until it is saved. */
const MAX_FILE_BYTES = 1024 * 1024 * 1024;

export interface TransferView {
  readonly progress: (bytes: number) => void;
  readonly done: (detail: string, blob?: Blob) => void;
  readonly failed: (reason: string) => void;
}

interface Header {
  readonly name: string;
  readonly size: number;
}

/** Sends one file; resolves when the other side has confirmed its hash, rejects never: the view is told. */
export async function sendFile(pc: RTCPeerConnection, file: File, view: TransferView): Promise<void> {
  const channel = pc.createDataChannel(file.name.slice(0, 100), { protocol: FILE_PROTOCOL });
  channel.binaryType = 'arraybuffer';
  channel.bufferedAmountLowThreshold = HIGH_WATER_BYTES / 2;
  try {
    await once(channel, 'open');
    const answer = once(channel, 'message');
    answer.catch(() => undefined); // awaited below, after the chunks: until then the sending loop reports
    channel.send(JSON.stringify({ name: file.name, size: file.size }));
    const bytes = await file.arrayBuffer();
    const digest = sha256(bytes);
    const chunk = Math.min(CHUNK_BYTES, pc.sctp?.maxMessageSize ?? CHUNK_BYTES);
    for (let at = 0; at < bytes.byteLength; at += chunk) {
      if (channel.bufferedAmount > HIGH_WATER_BYTES) await once(channel, 'bufferedamountlow');
      channel.send(bytes.slice(at, at + chunk));
      view.progress(Math.min(at + chunk, bytes.byteLength) - channel.bufferedAmount);
    }
    const own = await digest;
    channel.send(JSON.stringify({ sha256: own }));
    const result: unknown = JSON.parse(String((await answer).data));
    view.progress(bytes.byteLength);
    if (isRecord(result) && result['ok'] === true) view.done(verdict(own));
    else view.failed('the other side computed another SHA-256');
  } catch (error) {
    view.failed(error instanceof Error ? error.message : String(error));
  } finally {
    channel.close();
  }
}

/** Receives the file of a channel that the peer opened. `begin` is called when its header is there. */
export function receiveFile(channel: RTCDataChannel, begin: (header: Header) => TransferView): void {
  channel.binaryType = 'arraybuffer';
  const chunks: ArrayBuffer[] = [];
  let header: Header | undefined;
  let view: TransferView | undefined;
  let received = 0;
  let finished = false;
  const fail = (reason: string) => {
    finished = true;
    view?.failed(reason);
    channel.close();
  };
  channel.addEventListener('message', async ({ data }: MessageEvent<string | ArrayBuffer>) => {
    if (finished) return;
    if (typeof data !== 'string') {
      received += data.byteLength;
      if (header === undefined || received > header.size) return fail('more bytes than announced');
      chunks.push(data);
      view?.progress(received);
      return;
    }
    const message: unknown = parseJson(data);
    if (header === undefined) {
      header = readHeader(message);
      if (header === undefined) return fail('not a file');
      view = begin(header);
      return;
    }
    finished = true;
    const blob = new Blob(chunks);
    const own = await sha256(await blob.arrayBuffer());
    const theirs = isRecord(message) ? message['sha256'] : undefined;
    const ok = received === header.size && (own === undefined || own === theirs);
    if (channel.readyState === 'open') channel.send(JSON.stringify({ ok, sha256: own }));
    if (ok) view?.done(verdict(own), blob);
    else view?.failed(`the SHA-256 differs: got ${received} of ${header.size} bytes`);
  });
  channel.addEventListener('close', () => {
    if (!finished) fail('the channel closed before the end');
  });
}

function readHeader(message: unknown): Header | undefined {
  if (!isRecord(message)) return undefined;
  const { name, size } = message;
  if (typeof name !== 'string' || typeof size !== 'number') return undefined;
  return Number.isInteger(size) && size >= 0 && size <= MAX_FILE_BYTES ? { name, size } : undefined;
}

/** Lower-case hex; undefined where the browser has no Web Crypto (a page that is not served from this machine). */
async function sha256(bytes: ArrayBuffer): Promise<string | undefined> {
  if (!('subtle' in crypto)) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function verdict(hash: string | undefined): string {
  return hash === undefined ? 'received (no hash: not a secure context)' : `SHA-256 verified: ${hash.slice(0, 16)}…`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The next event of a kind; rejects when the channel closes first. */
function once<K extends 'open' | 'message' | 'bufferedamountlow'>(
  channel: RTCDataChannel,
  type: K,
): Promise<RTCDataChannelEventMap[K]> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error('the channel closed'));
    channel.addEventListener('close', ended, { once: true });
    channel.addEventListener(
      type,
      (event) => {
        channel.removeEventListener('close', ended);
        resolve(event);
      },
      { once: true },
    );
  });
}
