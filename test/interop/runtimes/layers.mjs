/**
 * The layers that meet the machine, each by itself: ciphers, DTLS over UDP, a STUN server, a TURN server over UDP, DTLS, TCP and TLS, and
 * signaling over WebSocket. Prints a line for each. Nothing here ends the process: what is closed must leave nothing behind.
 */
import { RTCPeerConnection } from 'purertc';
import {
  certificateFingerprint,
  certificateToPem,
  generateCertificate,
  LONGEST_BEFORE_NATIVE,
  nobleCrypto,
  withRecordCipher,
} from 'purertc/crypto';
import { platform, UdpShell } from 'purertc/io';
import {
  DtlsServer,
  DtlsSocket,
  SignalingConnection,
  SignalingServer,
  StunServer,
  TurnServer,
  TurnWorkers,
} from 'purertc/server';
import { StunClient } from 'purertc/stun';

const HOST = '127.0.0.1';

/** Node 20 has no Promise.withResolvers. */
function deferred() {
  let resolve;
  const promise = new Promise((given) => {
    resolve = given;
  });
  return { promise, resolve };
}

/** The runtime's ciphers, with ours in the place of those that it lacks, against noble's. */
function ciphers() {
  const crypto = withRecordCipher(platform.env.crypto, LONGEST_BEFORE_NATIVE);
  const [nonce, aad] = [new Uint8Array(12).fill(1), new Uint8Array(13).fill(2)];
  const sealed = (backend, name, length) => {
    const context = backend.createAead(name, new Uint8Array(/128/.test(name) ? 16 : 32).fill(3));
    const record = new Uint8Array(length + context.tagLength).fill(4);
    context.seal(nonce, aad, record, 0, length);
    const wire = record.slice();
    const opened = context.open(nonce, aad, record, 0, record.length);
    record.set(wire);
    record[length] ^= 1;
    return `${opened} ${context.open(nonce, aad, record, 0, record.length)} ${wire}`;
  };
  for (const name of ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305', 'aes-128-ccm', 'aes-128-ccm-8']) {
    const agree = [100, 16_384].every((length) => {
      const expected = sealed(nobleCrypto, name, length);
      return expected.startsWith(`${length} -1 `) && sealed(crypto, name, length) === expected;
    });
    console.log(`${name}: ${agree ? 'right' : 'wrong'}`);
  }
}

async function dtls() {
  const certificate = generateCertificate(platform.env);
  const server = new DtlsServer({ certificate, onMessage: (bytes, peer) => peer.send(bytes) });
  const { port } = await server.listen({ port: 0 });
  const fingerprint = certificateFingerprint(platform.env.crypto, 'sha-256', certificate.der);
  const echoed = deferred();
  const socket = await DtlsSocket.connect({
    host: HOST,
    port,
    fingerprint,
    onMessage: (bytes) => echoed.resolve(bytes),
  });
  // A record for which our own cipher gives way to the runtime's, where it has that cipher; one datagram on loopback.
  const long = new Uint8Array(12_000).fill(5);
  socket.send(long);
  const bytes = await echoed.promise;
  console.log(`dtls: ${bytes.length} bytes, ${bytes.every((byte) => byte === 5) ? 'the same' : 'others'}`);
  socket.close();
  server.close();
}

async function stun() {
  const server = new StunServer();
  const remote = await server.listen({ host: HOST, port: 0 });
  const mapped = deferred();
  const shell = await UdpShell.open(
    { ip: HOST, port: 0 },
    (local, now) => new StunClient({ env: platform.env, path: { protocol: 'udp', local, remote } }, now),
    { onEvent: mapped.resolve },
  );
  const { type, address } = await mapped.promise;
  console.log(`stun: ${type} ${address.ip}`);
  shell.close();
  server.close();
}

const RELAY = {
  realm: 'example.org',
  users: { ada: 'lovelace' },
  relayAddresses: [HOST],
  peers: { allowLoopback: true },
};

async function turn(transport, certificate) {
  const pem = certificate !== undefined && { certificate: { cert: certificate, key: certificate } };
  const server = new TurnServer({ ...RELAY, ...pem });
  const got = await relayed(server, transport, certificate);
  console.log(`${certificate === undefined ? 'turn' : 'turns'} over ${transport}: ${got}`);
  await server.close();
}

/** Processes of the same runtime: sockets that share a port, and connections that are handed over. */
async function turnWorkers(transport) {
  const server = await TurnWorkers.start({ ...RELAY, workers: 2 });
  const got = await relayed(server, transport);
  console.log(`turn by workers over ${transport}: ${got}`);
  await server.close();
}

/** Two peers that may use nothing but the relay, each over its own connection to it. */
async function relayed(server, transport, certificate) {
  const { port } = await server.listen({ host: HOST, port: 0, transport });
  const scheme = certificate === undefined ? 'turn' : 'turns';
  const iceServers = [
    { urls: `${scheme}:${HOST}:${port}?transport=${transport}`, username: 'ada', credential: 'lovelace' },
  ];
  const purertc = {
    interfaceFilter: ({ internal }) => internal,
    ...(certificate !== undefined && { turn: { ca: [certificate] } }),
  };
  const [a, b] = [0, 1].map(() => new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay', purertc }));
  for (const pc of [a, b]) pc.onicecandidateerror = ({ url, errorText }) => console.log(`turn: ${url}: ${errorText}`);
  const got = await echo(a, b);
  a.close();
  b.close();
  return got;
}

async function echo(a, b) {
  a.onicecandidate = ({ candidate }) => candidate && b.addIceCandidate(candidate);
  b.onicecandidate = ({ candidate }) => candidate && a.addIceCandidate(candidate);
  b.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => channel.send(data);
  };
  const echoed = deferred();
  const channel = a.createDataChannel('echo');
  channel.onopen = () => channel.send('hello');
  channel.onmessage = ({ data }) => echoed.resolve(data);
  await a.setLocalDescription();
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription();
  await a.setRemoteDescription(b.localDescription);
  return echoed.promise;
}

async function signaling() {
  const server = new SignalingServer();
  const { port } = await server.listen({ port: 0 });
  const url = `ws://${HOST}:${port}`;
  const arrived = deferred();
  const ada = new SignalingConnection({
    url,
    onEvent: (event) => {
      if (event.type === 'welcome') bob.join('garden', 'Bob');
      if (event.type === 'peer-joined') ada.sendCandidate(event.peer.id, null);
    },
  });
  const bob = new SignalingConnection({
    url,
    onEvent: (event) => event.type === 'candidate' && arrived.resolve(event.candidate),
  });
  ada.join('garden', 'Ada');
  console.log(`signaling: ${await arrived.promise}`);
  ada.close();
  bob.close();
  await server.close();
}

const pem = certificateToPem(generateCertificate(platform.env, { commonName: 'relay', subjectAltNames: [HOST] }));
ciphers();
await dtls();
await stun();
await turn('udp');
await turn('udp', pem);
await turn('tcp');
await turn('tcp', pem);
await turnWorkers('udp');
await turnWorkers('tcp');
await signaling();
