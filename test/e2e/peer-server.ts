import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';

/** PeerJS finds WebRTC, WebSocket and the browser's name among its globals. */
const GLOBALS = {
  WebSocket,
  navigator: { userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0', platform: 'Linux' },
  window: globalThis,
  location: { protocol: 'http:' },
  addEventListener: () => undefined,
  removeEventListener: () => undefined,
};

/** Makes this process a place where PeerJS runs: to be called before it is imported. @returns takes it all back. */
export async function installPeerJsGlobals(): Promise<() => void> {
  const added = Object.entries(GLOBALS).filter(([name]) => !(name in globalThis));
  for (const [name, value] of added) {
    Object.defineProperty(globalThis, name, { configurable: true, writable: true, value });
  }
  await import('../../src/polyfill/index.ts');
  return () => {
    for (const [name] of added) Reflect.deleteProperty(globalThis, name);
  };
}

export interface PeerServer {
  readonly port: number;
  close(): void;
}

/** PeerServer in a few lines, on loopback: says OPEN, and passes messages on to who they are for. */
export function startPeerServer(): Promise<PeerServer> {
  const http = createServer();
  const sockets = new Map<string, WebSocket>();
  new WebSocketServer({ server: http }).on('connection', (socket, request) => {
    const id = new URL(request.url ?? '', 'http://localhost').searchParams.get('id') ?? '';
    sockets.set(id, socket);
    socket.send(JSON.stringify({ type: 'OPEN' }));
    socket.on('message', (text) => {
      const message = JSON.parse(String(text)) as { type: string; dst?: string };
      if (message.dst !== undefined) sockets.get(message.dst)?.send(JSON.stringify({ ...message, src: id }));
    });
  });
  return new Promise((resolve) => {
    http.listen(0, '127.0.0.1', () => {
      resolve({
        port: (http.address() as AddressInfo).port,
        close() {
          for (const socket of sockets.values()) socket.terminate();
          http.closeAllConnections();
          http.close();
        },
      });
    });
  });
}
