#!/usr/bin/env node
/**
 * DTLS over UDP without WebRTC: a server that echoes, and a client that knows it by its certificate's fingerprint.
 * `npm run build && node examples/dtls-echo.mjs`
 */
import { setTimeout as pause } from 'node:timers/promises';
import { certificateFingerprint, generateCertificate } from 'purertc/crypto';
import { platform } from 'purertc/io';
import { DtlsServer, DtlsSocket } from 'purertc/server';

let moved = false;
const certificate = generateCertificate(platform.env, { commonName: 'echo' });
const server = new DtlsServer({
  certificate,
  onConnection: (peer) => console.log(`server: port ${peer.remote.port}, ${peer.negotiated.cipherSuite}`),
  onMessage: (bytes, peer) => {
    if (bytes.length <= peer.negotiated.maxSendRecordBytes) peer.send(bytes); // a client may take less than it sends
  },
  onMigrate: (peer, from) => {
    moved = true;
    console.log(`server: port ${from.port} is port ${peer.remote.port} now`);
  },
});
const { port } = await server.listen({ port: 0 });

const echoes = [];
const socket = await DtlsSocket.connect({
  host: '127.0.0.1',
  port,
  fingerprint: certificateFingerprint(platform.env.crypto, 'sha-256', certificate.der),
  onMessage: (bytes) => echoes.shift()?.(new TextDecoder().decode(bytes)),
});
/** UDP may lose a message or its echo; a real client would ask again. */
const ask = (words) =>
  new Promise((resolve) => {
    echoes.push(resolve);
    socket.send(words);
  });

console.log(`client: ${await ask('hello')}`);
await socket.rebind(); // the network has changed: another port, the same association (RFC 9146)
console.log(`client: ${await ask('still here')}`);
while (!moved) {
  // A new address is on trial at first: somebody may have copied a record. What goes on coming from there settles it.
  await pause(50);
  await ask('and here');
}
socket.close();
server.close();
