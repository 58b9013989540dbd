import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TransportProtocol } from '../../src/core/index.ts';
import { encodePem } from '../../src/crypto/index.ts';
import { TurnServer } from '../../src/server/turn-server.ts';
import { makeRestCredentials } from '../../src/turn/index.ts';
import { gathered } from '../peer-connection/descriptions.ts';
import { COTURN_USER, Coturn, turnUrl } from './coturn.ts';
import { Credentials, ENV } from './dtls-peers.ts';
import {
  connectPeers,
  echoAll,
  exchange,
  openedChannel,
  RelayedPeer,
  type RelayedPeerOptions,
} from './relayed-peers.ts';

const CREDENTIAL = { username: COTURN_USER.username, credential: COTURN_USER.password };
const MESSAGES = ['', 'text', new Uint8Array(1200).fill(7), new Uint8Array(200_000).fill(9), 'ende'.repeat(10_000)];

/** Two peers that may only be relayed, each over its own transport; what one says comes back from the other. */
async function meet(ours: RelayedPeerOptions, theirs: RelayedPeerOptions, relayProtocols: readonly string[]) {
  const [a, b] = [new RelayedPeer(ours), new RelayedPeer(theirs)];
  try {
    echoAll(b.pc);
    const channel = a.pc.createDataChannel('relayed');
    const opened = openedChannel(channel, () => JSON.stringify([a.errors, b.errors, a.pc.iceConnectionState]));
    await connectPeers(a.pc, b.pc);
    await opened;
    expect(await exchange(channel, MESSAGES)).toEqual(MESSAGES);
    expect([a.candidateKinds, b.candidateKinds]).toEqual(relayProtocols.map((protocol) => [`relay ${protocol}`]));
    const pair = a.pc.sctp?.transport.iceTransport.getSelectedCandidatePair();
    expect([pair?.local?.type, pair?.remote?.type]).toEqual(['relay', 'relay']);
    for (const peer of [a, b]) expect(peer.pc.localDescription?.sdp).not.toMatch(/ typ (?:host|srflx)/);
  } finally {
    a.close();
    b.close();
  }
}

/** W3C names for how a relay reaches its server; there is none for DTLS, which counts as UDP. */
const W3C_PROTOCOL = { udp: 'udp', tcp: 'tcp', tls: 'tls', dtls: 'null' } as const;
const TRANSPORTS: readonly TransportProtocol[] = ['udp', 'tcp', 'tls', 'dtls'];
/** On IPv6 too; coturn of Debian 12 does not listen for DTLS there. */
const PLACES = TRANSPORTS.flatMap((transport) =>
  ['127.0.0.1', '::1'].map((ip) => ({ transport, ip, family: ip.includes(':') ? 'IPv6' : 'IPv4' })),
);

describe('two peers with iceTransportPolicy relay, through coturn', () => {
  const credentials = new Credentials();
  let coturn: Coturn;

  beforeAll(async () => {
    coturn = await Coturn.start(credentials);
  });
  afterAll(async () => {
    await coturn.stop();
    credentials.remove();
  });

  const server = (transport: TransportProtocol, ip = '127.0.0.1'): RelayedPeerOptions => ({
    ...CREDENTIAL,
    url: turnUrl(transport, coturn.address(transport, ip)),
    ca: coturn.certificate,
  });

  it.each(PLACES.filter(({ transport, ip }) => transport !== 'dtls' || ip === '127.0.0.1'))(
    'over $transport and $family',
    async ({ transport, ip }) => {
      const name = W3C_PROTOCOL[transport];
      await meet(server(transport, ip), server(transport, ip), [name, name]);
    },
  );

  it.each([
    ['udp', 'tcp'],
    ['tls', 'udp'],
    ['dtls', 'tls'],
  ] as const)('one over %s, the other over %s', async (ours, theirs) => {
    await meet(server(ours), server(theirs), [W3C_PROTOCOL[ours], W3C_PROTOCOL[theirs]]);
  });

  it('data travels on channels, and closing gives the allocations back', async () => {
    await meet(server('udp'), server('tcp'), ['udp', 'tcp']);
    await coturn.logged(/CHANNEL_BIND processed, success/);
    await coturn.logged(/refreshed, realm=<example\.org>, username=<ada>, lifetime=0/);
  });

  it.each(['udp', 'tcp', 'tls', 'dtls'] as const)(
    'a wrong password over %s is icecandidateerror 401',
    async (transport) => {
      const peer = new RelayedPeer({ ...server(transport), credential: 'guess' });
      peer.pc.createDataChannel('x');
      await peer.pc.setLocalDescription();
      await gathered(peer.pc);
      expect(peer.errors).toMatchObject([{ url: server(transport).url, code: 401 }]);
      expect(peer.candidateKinds).toEqual([]);
      peer.close();
    },
  );

  it.each(['tls', 'dtls'] as const)('a certificate that nobody vouches for is error 701 over %s', async (transport) => {
    const { ca: _, ...untrusting } = server(transport);
    const peer = new RelayedPeer(untrusting);
    peer.pc.createDataChannel('x');
    await peer.pc.setLocalDescription();
    await gathered(peer.pc);
    expect(peer.errors).toMatchObject([{ url: untrusting.url, code: 701 }]);
    peer.close();
  });

  it('a port where nobody listens is error 701 over tcp', async () => {
    const peer = new RelayedPeer({ ...CREDENTIAL, url: 'turn:127.0.0.1:9?transport=tcp' });
    peer.pc.createDataChannel('x');
    await peer.pc.setLocalDescription();
    await gathered(peer.pc);
    expect(peer.errors).toMatchObject([{ code: 701, text: expect.stringContaining('ECONNREFUSED') }]);
    peer.close();
  });
});

describe('two peers with iceTransportPolicy relay, through coturn with a shared secret', () => {
  const credentials = new Credentials();
  const secret = 'shared by two servers';
  let coturn: Coturn;

  beforeAll(async () => {
    coturn = await Coturn.start(credentials, ['--use-auth-secret', `--static-auth-secret=${secret}`]);
  });
  afterAll(async () => {
    await coturn.stop();
    credentials.remove();
  });

  it('ephemeral REST credentials', async () => {
    const { username, password } = makeRestCredentials(ENV.crypto, secret, 'ada', Math.floor(Date.now() / 1000) + 60);
    const options = { username, credential: password, url: turnUrl('udp', coturn.address('udp', '127.0.0.1')) };
    await meet(options, options, ['udp', 'udp']);
  });
});

describe("two peers with iceTransportPolicy relay, through the project's own server", () => {
  const credentials = new Credentials();
  const certificate = credentials.make({ keyType: 'ecdsa-p256', subjectAltNames: ['127.0.0.1', '::1'] });
  const pem = {
    cert: encodePem('CERTIFICATE', certificate.der),
    key: encodePem('PRIVATE KEY', certificate.key.exportPkcs8()),
  };
  const ports = new Map<string, number>();
  let server: TurnServer;

  beforeAll(async () => {
    server = new TurnServer({
      realm: 'example.org',
      users: { [COTURN_USER.username]: COTURN_USER.password },
      relayAddresses: ['127.0.0.1', '::1'],
      peers: { allowLoopback: true },
      certificate: pem,
    });
    for (const host of ['127.0.0.1', '::1']) {
      for (const transport of ['udp', 'tcp'] as const) {
        ports.set(`${transport} ${host}`, (await server.listen({ host, port: 0, transport })).port);
      }
    }
  });
  afterAll(() => {
    server.close();
    credentials.remove();
  });

  it.each(PLACES)('over $transport and $family', async ({ transport, ip }) => {
    const below = transport === 'udp' || transport === 'dtls' ? 'udp' : 'tcp';
    const address = { ip, port: ports.get(`${below} ${ip}`)! };
    const options = { ...CREDENTIAL, url: turnUrl(transport, address), ca: pem.cert };
    await meet(options, options, [W3C_PROTOCOL[transport], W3C_PROTOCOL[transport]]);
  });
});
