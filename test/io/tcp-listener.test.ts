import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { ByteStream } from '../../src/core/index.ts';
import { connectTcp, listenTcp, MAX_ACCEPTED_CONNECTIONS } from '../../src/io/index.ts';

const ANY = { ip: '127.0.0.1', port: 0 };
const nothing = { onData: () => undefined, onClose: () => undefined };

describe('listenTcp', () => {
  it.each(['127.0.0.1', '::1'])('takes connections on %s, both ways, until it is closed', async (ip) => {
    const accepted: ByteStream[] = [];
    let closed: (error: Error | undefined) => void = () => undefined;
    const ended = new Promise<Error | undefined>((resolve) => {
      closed = resolve;
    });
    const listener = await listenTcp({ ip, port: 0 }, (stream) => {
      accepted.push(stream);
      return { onData: (bytes) => stream.write(bytes, 0, bytes.length), onClose: closed };
    });
    let heard: (bytes: Uint8Array) => void = () => undefined;
    const answer = new Promise<Uint8Array>((resolve) => {
      heard = (bytes) => resolve(bytes.slice());
    });
    const stream = await connectTcp(listener.local, { ...nothing, onData: (bytes) => heard(bytes) }, {});
    stream.write(Uint8Array.of(0, 1, 2, 3), 1, 2);
    expect(await answer).toEqual(Uint8Array.of(1, 2));
    expect(accepted.map(({ local, remote }) => [local, remote])).toEqual([[listener.local, stream.local]]);
    listener.close();
    await expect(connectTcp(listener.local, nothing, {})).rejects.toThrow('ECONNREFUSED');
    stream.close();
    expect(await ended).toBeUndefined();
  });

  it('two connections from one port of the caller’s choice, to different places; none from one that is listened on', async () => {
    const [one, two] = [await listenTcp(ANY, () => nothing), await listenTcp(ANY, () => nothing)];
    const free = await listenTcp(ANY, () => nothing);
    free.close();
    const from = { localIp: '127.0.0.1', localPort: free.local.port };
    const streams = [await connectTcp(one.local, nothing, from), await connectTcp(two.local, nothing, from)];
    expect(streams.map(({ local }) => local)).toEqual([free.local, free.local]);
    await expect(connectTcp(one.local, nothing, { ...from, localPort: two.local.port })).rejects.toThrow('EADDRINUSE');
    for (const stream of streams) stream.close();
    one.close();
    two.close();
  });

  it('rejects for an address that is taken', async () => {
    const listener = await listenTcp(ANY, () => nothing);
    await expect(listenTcp(listener.local, () => nothing)).rejects.toThrow('EADDRINUSE');
    listener.close();
  });

  it.each([
    [MAX_ACCEPTED_CONNECTIONS, {}],
    [3, { maxConnections: 3 }],
  ])('holds a bounded number of connections: %i', async (most, options) => {
    let accepted = 0;
    const streams: ByteStream[] = [];
    const listener = await listenTcp(
      ANY,
      (stream) => {
        accepted++;
        streams.push(stream);
        return nothing;
      },
      options,
    );
    const sockets: Socket[] = [];
    const dial = (): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(listener.local.port, listener.local.ip);
        sockets.push(socket);
        socket.on('error', () => undefined).once('close', () => resolve('closed'));
        const open = most - sockets.length;
        if (open >= 0) socket.once('connect', () => resolve('open'));
      });
    for (let i = 0; i < most; i++) expect(await dial()).toBe('open');
    expect(await dial()).toBe('closed');
    expect(accepted).toBe(most);
    for (const socket of sockets) socket.destroy();
    for (const stream of streams) stream.close();
    listener.close();
  });
});
