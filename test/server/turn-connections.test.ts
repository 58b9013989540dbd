import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { createTransmitSlot, type FiveTuple } from '../../src/core/index.ts';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { platform } from '../../src/io/index.ts';
import { type Connection, MAX_UNSENT_MESSAGES, StreamListener } from '../../src/server/turn-connections.ts';

const closers: (() => unknown)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

describe('a connection of a client', () => {
  it.each(['tcp', 'tls'] as const)('over %s keeps a bounded number of messages, however short', async (protocol) => {
    const pem = certificateToPem(generateCertificate(platform.env));
    let opened: (connection: Connection) => void = () => undefined;
    const open = new Promise<Connection>((resolve) => {
      opened = resolve;
    });
    const listener = new StreamListener(
      {
        arrived: () => true,
        left: () => undefined,
        opened: (connection) => {
          opened(connection);
          return true;
        },
        message: () => undefined,
        mayBeLong: () => false,
        closed: () => undefined,
      },
      { cert: pem, key: pem },
    );
    closers.push(() => listener.close());
    const { port } = await listener.listen({ ip: '127.0.0.1', port: 0 });
    const at = { port, host: '127.0.0.1', rejectUnauthorized: false };
    const client: Socket = protocol === 'tls' ? connectTls(at) : connect(at);
    closers.push(() => client.destroy());
    client.write(Uint8Array.of(0));
    let received = 0;
    client.on('data', (chunk: Uint8Array) => {
      received += chunk.length;
    });
    const connection = await open;
    const slot = createTransmitSlot<FiveTuple>(100);
    slot.length = 8;
    // Nothing leaves within one turn of the event loop.
    let taken = 0;
    for (let i = 0; i < MAX_UNSENT_MESSAGES + 10; i++) if (connection.send(slot)) taken++;
    expect(taken).toBe(MAX_UNSENT_MESSAGES);
    await expect.poll(() => received).toBe(taken * slot.length);
    expect(connection.send(slot)).toBe(true);
  });
});
