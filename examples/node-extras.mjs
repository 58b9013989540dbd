// What a browser does not let a program choose, all in the `purertc` member of the configuration: a server with one UDP
// port, one TCP port and a certificate that it keeps, whose clients come from a range of ports; and a capture for Wireshark.
// Run it with `node examples/node-extras.mjs` (after `npm run build` in a checkout).
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RTCPeerConnection, TcpMux, UdpMux } from 'purertc';
import { certificateFromPem, certificateToPem, generateCertificate } from 'purertc/crypto';
import { openPcap, platform } from 'purertc/io';

const folder = mkdtempSync(join(tmpdir(), 'purertc-'));
const interfaceFilter = ({ ip }) => ip === '127.0.0.1';

/** The same certificate in every run, so that its fingerprint can be published. */
const file = join(folder, 'server.pem');
if (!existsSync(file)) writeFileSync(file, certificateToPem(generateCertificate(platform.env)), { mode: 0o600 });
const certificate = certificateFromPem(platform.env.crypto, readFileSync(file, 'utf8'));

const udpMux = new UdpMux(platform, 0); // 0 takes any free port; a server behind a firewall names the open one
const tcpMux = new TcpMux(platform, 0);

const capture = openPcap(join(folder, 'client.pcap'));
const keyLog = (line) => appendFileSync(join(folder, 'client.keys'), `${line}\n`);

/** Connects one client to the server. */
async function connect(client, number) {
  const server = new RTCPeerConnection({ purertc: { udpMux, tcpMux, certificate, interfaceFilter } });
  for (const [from, to] of [
    [client, server],
    [server, client],
  ]) {
    from.onicecandidate = ({ candidate }) => to.addIceCandidate(candidate ?? undefined);
  }
  const channel = client.createDataChannel('greeting');
  const greeted = new Promise((resolve) => {
    channel.onmessage = ({ data }) => resolve(data);
  });
  server.ondatachannel = ({ channel: accepted }) => accepted.send(`welcome, client ${number}`);
  await client.setLocalDescription();
  await server.setRemoteDescription(client.localDescription);
  await server.setLocalDescription();
  await client.setRemoteDescription(server.localDescription);
  console.log(await greeted);
  return server;
}

const common = { interfaceFilter, portRange: { min: 47_400, max: 47_499 } };
const clients = [
  new RTCPeerConnection({ purertc: { ...common, onDatagram: capture.onDatagram, keyLog } }),
  new RTCPeerConnection({
    purertc: { ...common, iceUfrag: 'client2', icePwd: 'a password that is long'.replaceAll(' ', '+') },
  }),
];
const servers = [await connect(clients[0], 1), await connect(clients[1], 2)];

const ports = servers.map((server) => server.sctp.transport.iceTransport.getSelectedCandidatePair().local.port);
console.log(`one port for both: ${ports[0] === ports[1]}`);
const shown = clients.map((client) => client.sctp.transport.getRemoteCertificates()[0]);
console.log(`the kept certificate: ${shown.every((der) => Buffer.from(der).equals(certificate.der))}`);

for (const pc of [...clients, ...servers]) pc.close();
udpMux.close();
tcpMux.close();
capture.close();
const sizes = ['client.pcap', 'client.keys'].map((name) => statSync(join(folder, name)).size);
console.log(`captured: ${sizes.every((bytes) => bytes > 0)}`);
rmSync(folder, { recursive: true });
