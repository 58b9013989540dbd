import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { MAX_FILE_BYTES, next, receiveFile, safeName, sendFile } from '../../src/cli/demo/file-transfer.ts';
import { connectedPair, temporaryFolder } from './support.ts';

describe('files over data channels', () => {
  let pair: Awaited<ReturnType<typeof connectedPair>>;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  beforeAll(async () => {
    pair = await connectedPair();
  });
  afterAll(() => pair.close());
  beforeEach(async () => {
    folder = await temporaryFolder();
  });
  afterEach(() => folder.remove());

  /** Opens a channel from `a` by hand, and receives on the other side. */
  async function byHand(messages: readonly (string | Uint8Array<ArrayBuffer>)[], close = false) {
    const channel = pair.a.createDataChannel('by hand');
    const received = pair.incoming().then((incoming) => receiveFile(incoming, folder.path, () => undefined));
    received.catch(() => undefined); // the test looks at it after it has sent
    await next(channel, 'open');
    for (const message of messages) {
      if (typeof message === 'string') channel.send(message);
      else channel.send(message);
    }
    if (close) channel.close();
    return { channel, received };
  }

  it.each([0, 1, 65_536, 3_000_001])('a file of %i bytes arrives, and both sides know its hash', async (size) => {
    const content = randomBytes(size);
    const path = join(folder.path, 'original.bin');
    await writeFile(path, content);
    const progress: number[] = [];
    const receiving = pair
      .incoming()
      .then((incoming) => receiveFile(incoming, folder.path, (_name, bytes) => progress.push(bytes)));
    const sent = await sendFile(pair.a, path, () => undefined);
    const received = await receiving;
    expect(received).toMatchObject({ name: 'original.bin', bytes: size, sha256: sent.sha256 });
    expect((await readFile(join(folder.path, 'received-original.bin'))).equals(content)).toBe(true);
    expect(progress.at(-1)).toBe(size);
  });

  it('a taken name gets a number', async () => {
    const path = join(folder.path, 'a.txt');
    await writeFile(path, 'one');
    for (let i = 0; i < 3; i++) {
      const receiving = pair.incoming().then((incoming) => receiveFile(incoming, folder.path, () => undefined));
      await sendFile(pair.a, path, () => undefined);
      await receiving;
    }
    expect((await readdir(folder.path)).sort()).toEqual([
      'a.txt',
      'received-a-2.txt',
      'received-a-3.txt',
      'received-a.txt',
    ]);
  });

  const header = (fields: object) => JSON.stringify({ name: 'x', size: 3, ...fields });
  it.each([
    ['no JSON', ['hello'], 'something that is no file'],
    ['binary first', [new Uint8Array(3)], 'something that is no file'],
    ['a negative size', [header({ size: -1 })], 'something that is no file'],
    ['a size over the bound', [header({ size: MAX_FILE_BYTES + 1 })], `at most ${MAX_FILE_BYTES}`],
    ['more bytes than announced', [header({}), new Uint8Array(4)], 'more bytes than the 3 announced'],
    ['fewer bytes than announced', [header({}), new Uint8Array(2), '{}'], 'arrived damaged: 2 of 3 bytes'],
    ['another hash', [header({}), new Uint8Array(3), '{"sha256":"00"}'], 'arrived damaged: 3 of 3 bytes'],
  ])('%s fails with a reason, and the channel closes', async (_name, messages, reason) => {
    const { channel, received } = await byHand(messages);
    await expect(received).rejects.toThrow(reason);
    if (channel.readyState !== 'closed') await new Promise((resolve) => channel.addEventListener('close', resolve));
    expect(channel.readyState).toBe('closed');
  });

  it('a channel that closes in the middle fails the receiver', async () => {
    const { received } = await byHand([header({}), new Uint8Array(1)], true);
    await expect(received).rejects.toThrow('closed before the end of the file');
  });

  it.each([
    [
      'says that it is damaged',
      (channel: { send(text: string): void }) => channel.send('{"ok":false}'),
      'another SHA-256',
    ],
    ['closes', (channel: { close(): void }) => channel.close(), 'closed early'],
  ])('a receiver that %s fails the sender', async (_name, react, reason) => {
    const path = join(folder.path, 'file');
    await writeFile(path, 'abc');
    const sending = sendFile(pair.a, path, () => undefined);
    sending.catch(() => undefined);
    react(await pair.incoming());
    await expect(sending).rejects.toThrow(reason);
  });
});

describe('safeName', () => {
  it.each([
    ['photo.jpg', 'received-photo.jpg'],
    ['../../etc/passwd', 'received-passwd'],
    ['C:\\Windows\\con', 'received-con'],
    ['..', 'received-..'],
    ['', 'received-'],
    ['a\0b\n\u202e*?.txt', 'received-a_b____.txt'],
    ['Übung – 你好.md', 'received-Übung _ 你好.md'],
    [`${'x'.repeat(300)}.txt`, `received-${'x'.repeat(96)}.txt`],
  ])('%j is saved as %j', (name, saved) => {
    expect(safeName(name)).toBe(saved);
  });
});
