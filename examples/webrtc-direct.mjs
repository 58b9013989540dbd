// As libp2p's webrtc-direct: a dialer reaches a server by address and certificate hash alone. No signalling: each side makes
// up the other's description. The server learns of a dialer from its first connectivity check, whose ufrag nobody has yet;
// that ufrag is the password too. Run it with `node examples/webrtc-direct.mjs` (after `npm run build` in a checkout).
import { RTCPeerConnection, UdpMux } from 'purertc';
import { platform } from 'purertc/io';

const interfaceFilter = ({ ip }) => ip === '127.0.0.1';

/** A description of what both know, in place of the one that signalling would have brought. */
function describe({ type, secret, fingerprint, setup, candidate }) {
  const lines = [
    'v=0',
    'o=- 0 0 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'a=group:BUNDLE 0',
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    'c=IN IP4 0.0.0.0',
    'a=mid:0',
    `a=ice-ufrag:${secret}`,
    `a=ice-pwd:${secret}`,
    `a=fingerprint:${fingerprint}`,
    `a=setup:${setup}`,
    'a=sctp-port:5000',
    'a=max-message-size:16384',
    ...(candidate === undefined ? [] : [`a=candidate:1 1 udp 1 ${candidate.ip} ${candidate.port} typ host`]),
  ];
  return { type, sdp: lines.map((line) => `${line}\r\n`).join('') };
}

const certificate = await RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' });
const { algorithm, value } = certificate.getFingerprints()[0];

/** The server's one UDP port, shared by all of its connections. */
const mux = new UdpMux(platform, 0, {
  onUnknownUfrag(check) {
    // A check is repeated until it is answered: only the first makes a connection, and only if it is what it should be.
    if (served.has(check.ufrag) || !check.ufrag.startsWith('libp2p+webrtc+v1/')) return;
    if (served.size < MAX_SERVED && check.isProtectedBy(check.ufrag)) accept(check.ufrag);
  },
});
/** By ufrag. A server has to bound what strangers can make it keep. */
const served = new Map();
const MAX_SERVED = 100;

/** A connection for whoever knows `secret`; who that is, is asked in the channel. */
async function accept(secret) {
  const purertc = {
    platform: mux,
    interfaceFilter,
    iceUfrag: secret,
    icePwd: secret,
    acceptAnyFingerprint: true, // the dialer's certificate is not known yet: the handshake in the channel proves it
    answerSetup: 'passive',
  };
  const pc = new RTCPeerConnection({ certificates: [certificate], purertc });
  served.set(secret, pc);
  const channel = pc.createDataChannel('', { negotiated: true, id: 0 });
  channel.onmessage = async ({ data }) => {
    const shown = new Uint8Array(await crypto.subtle.digest('SHA-256', pc.sctp.transport.getRemoteCertificates()[0]));
    const hex = Array.from(shown, (byte) => byte.toString(16).padStart(2, '0')).join(':');
    console.log(data === hex ? 'server: the dialer is who it says' : 'server: the dialer lies');
    channel.send('welcome');
  };
  channel.onclose = () => {
    pc.close();
    served.delete(secret);
    mux.close(); // one dialer is enough for an example
  };
  const nobody = `sha-256 ${Array.from({ length: 32 }, () => 'FF').join(':')}`;
  await pc.setRemoteDescription(describe({ type: 'offer', secret, fingerprint: nobody, setup: 'actpass' }));
  await pc.setLocalDescription();
}

/** All that a dialer knows is in its arguments. */
async function dial({ ip, port, fingerprint }) {
  const secret = `libp2p+webrtc+v1/${crypto.randomUUID().replaceAll('-', '')}`;
  const own = await RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' });
  const purertc = { interfaceFilter, iceUfrag: secret, icePwd: secret };
  const pc = new RTCPeerConnection({ certificates: [own], purertc });
  const channel = pc.createDataChannel('', { negotiated: true, id: 0 });
  channel.onopen = () => channel.send(own.getFingerprints()[0].value);
  channel.onmessage = ({ data }) => {
    console.log(`dialer: ${data}`);
    pc.close();
  };
  await pc.setLocalDescription();
  await pc.setRemoteDescription(
    describe({ type: 'answer', secret, fingerprint, setup: 'passive', candidate: { ip, port } }),
  );
}

const { ip, port } = await mux.listen('127.0.0.1');
await dial({ ip, port, fingerprint: `${algorithm} ${value.toUpperCase()}` });
