import { createServer } from 'node:net';
import type { ByteStream, ListenOptions, StreamHandlers, StreamListener, TransportAddress } from '../core/index.ts';
import { outliveAcceptErrors } from './accept-errors.ts';
import { NodeStream } from './tcp-connection.ts';

/** Connections that one listener holds at a time, unless its owner says otherwise; more are closed as they arrive. */
export const MAX_ACCEPTED_CONNECTIONS = 256;

/**
 * Listens on an address.
 * @throws rejects with the system's error (`EADDRINUSE`, `EADDRNOTAVAIL`).
 */
export function listenTcp(
  local: TransportAddress,
  accept: (stream: ByteStream) => StreamHandlers,
  options: ListenOptions = {},
): Promise<StreamListener> {
  const server = createServer();
  server.maxConnections = options.maxConnections ?? MAX_ACCEPTED_CONNECTIONS;
  server.on('connection', (socket) => {
    let handlers: StreamHandlers | undefined;
    const stream = new NodeStream(socket, {
      onData: (bytes) => handlers?.onData(bytes),
      onClose: (error) => handlers?.onClose(error),
    });
    handlers = accept(stream);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: local.ip, port: local.port, ipv6Only: true }, () => {
      server.off('error', reject);
      outliveAcceptErrors(server, 'a TCP candidate');
      const address = server.address();
      const port = address !== null && typeof address === 'object' ? address.port : local.port;
      resolve({ local: { ip: local.ip, port }, close: () => server.close() });
    });
  });
}
