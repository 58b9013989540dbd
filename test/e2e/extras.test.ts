import { describe, expect, it } from 'vitest';
import type { CryptoBackend, Platform } from '../../src/core/index.ts';
import { certificateFromPem, certificateToPem, generateCertificate, nobleCrypto } from '../../src/crypto/index.ts';
import { type PurertcOptions, RTCPeerConnection, TcpMux, toRtcCertificate, UdpMux } from '../../src/index.ts';
import { platform } from '../../src/io/platform.ts';
import { StunServer, TurnServer } from '../../src/server/index.ts';
import { negotiate, once, Pair, trickle, untilState } from './support.ts';

const loopback = { interfaceFilter: ({ ip }: { readonly ip: string }) => ip === '127.0.0.1' };

const untilGathered = (pc: RTCPeerConnection) =>
  expect.poll(() => pc.localDescription?.sdp).toContain('a=end-of-candidates');

describe('what the purertc member of the configuration adds', () => {
  it('as libp2p’s webrtc-direct: the server answers an offer it has made up, and proves identities later', async () => {
    const credentials = { iceUfrag: 'libp2pwebrtcv1abcdefghi', icePwd: 'libp2pwebrtcv1abcdefghijklmnop' };
    const server = new RTCPeerConnection({ purertc: { ...loopback, ...credentials, acceptAnyFingerprint: true } });
    const dialer = new RTCPeerConnection({ purertc: { ...loopback, ...credentials } });
    trickle(dialer, server);
    const channel = dialer.createDataChannel('', { negotiated: true, id: 0 });
    const accepted = server.createDataChannel('', { negotiated: true, id: 0 });
    const unknown = Array.from({ length: 32 }, () => 'FF').join(':');
    await negotiate(dialer, server, (sdp, type) =>
      type === 'offer' ? sdp.replace(/a=fingerprint:.*/, `a=fingerprint:sha-256 ${unknown}`) : sdp,
    );
    await Promise.all([untilState(channel, 'open'), untilState(accepted, 'open')]);
    expect(server.sctp!.transport.getRemoteCertificates()).toHaveLength(1); // what the application proves things about
    expect(server.localDescription!.sdp).toContain(
      `a=ice-ufrag:${credentials.iceUfrag}\r\na=ice-pwd:${credentials.icePwd}`,
    );
    dialer.close();
    server.close();
  });

  it('a certificate kept from an earlier run, a key log, a capture and a largest message', async () => {
    const certificate = generateCertificate(platform.env);
    const secrets: string[] = [];
    const datagrams: string[] = [];
    const pair = new Pair(
      {
        certificates: [toRtcCertificate(certificate, platform.env.crypto)],
        purertc: {
          ...loopback,
          maxMessageSize: 1000,
          keyLog: (line) => secrets.push(line),
          onDatagram: (direction, bytes, local, remote, at) => {
            expect(at).toBeGreaterThan(0);
            datagrams.push(`${direction} ${bytes.length > 0} ${local.split(':')[0]} ${remote.split(':')[0]}`);
          },
        },
      },
      { purertc: loopback },
    );
    const [a, b] = await pair.connect();
    expect(new Uint8Array(pair.b.sctp!.transport.getRemoteCertificates()[0]!)).toEqual(certificate.der);
    expect(secrets.some((line) => line.startsWith('CLIENT_RANDOM '))).toBe(true);
    expect(new Set(datagrams)).toEqual(new Set(['in true 127.0.0.1 127.0.0.1', 'out true 127.0.0.1 127.0.0.1']));
    expect(pair.b.sctp!.maxMessageSize).toBe(1000);
    expect(() => b.send(new Uint8Array(1001))).toThrow(TypeError);
    const received = once<MessageEvent>(a, 'message');
    b.send(new Uint8Array(1000));
    expect((await received).data.byteLength).toBe(1000);
    pair.close();
  });

  it('one UDP and one TCP port for many connections, over the platform that is given', async () => {
    const [udpMux, tcpMux] = [new UdpMux(platform, 0), new TcpMux(platform, 0)];
    const ports = await Promise.all([udpMux.listen('127.0.0.1'), tcpMux.listen('127.0.0.1')]);
    const own: Platform = Object.create(platform, {
      interfaces: { value: () => [{ name: 'its own', ip: '127.0.0.1', internal: true }] },
      bindUdp: { value: () => Promise.reject(new Error('the mux has the sockets')) },
      listenTcp: { value: () => Promise.reject(new Error('the mux has the sockets')) },
    });
    const shared: PurertcOptions[] = [
      { udpMux, tcpMux, ...loopback },
      { udpMux, tcpMux, platform: own, interfaceFilter: ({ name }) => name === 'its own' },
    ];
    for (const options of shared) {
      const pair = new Pair({ purertc: options }, { purertc: { ...loopback, iceTcp: true } });
      await pair.connect();
      await untilGathered(pair.a);
      const candidates = pair.a.sctp!.transport.iceTransport.getLocalCandidates?.() ?? [];
      const port = (protocol: string, tcpType: string | null) =>
        candidates.find((c) => c.protocol === protocol && c.tcpType === tcpType)?.port;
      expect([port('udp', null), port('tcp', 'passive')]).toEqual(ports.map((address) => address.port));
      pair.close();
    }
    udpMux.close();
    tcpMux.close();
  });

  it('a certificate kept as PEM, and the port of a range', async () => {
    const kept = certificateToPem(generateCertificate(platform.env));
    const certificate = certificateFromPem(platform.env.crypto, kept);
    const range = { min: 47_311, max: 47_340 };
    const pair = new Pair({ purertc: { ...loopback, certificate, portRange: range } }, { purertc: loopback });
    await pair.connect();
    expect(new Uint8Array(pair.b.sctp!.transport.getRemoteCertificates()[0]!)).toEqual(certificate.der);
    const local = pair.a.sctp!.transport.iceTransport.getSelectedCandidatePair()!.local;
    expect(local.port).toBeGreaterThanOrEqual(range.min);
    expect(local.port).toBeLessThanOrEqual(range.max);
    expect(pair.a.getConfiguration().certificates).toEqual([]);
    pair.close();
    const expired = { ...certificate, notAfterMs: Date.now() - 1 };
    expect(() => new RTCPeerConnection({ purertc: { certificate: expired } })).toThrow(
      expect.objectContaining({ name: 'InvalidAccessError' }),
    );
  });

  it('cryptography of the application’s own, on one side only', async () => {
    let keyShares = 0;
    const crypto: CryptoBackend = {
      ...nobleCrypto,
      generateKeyShare(group) {
        keyShares++;
        return nobleCrypto.generateKeyShare(group);
      },
    };
    const pair = new Pair({ purertc: { ...loopback, crypto } }, { purertc: loopback });
    const [a, b] = await pair.connect();
    const received = once<MessageEvent>(b, 'message');
    a.send('sealed by noble');
    expect((await received).data).toBe('sealed by noble');
    expect(keyShares).toBeGreaterThan(0); // the handshake's
    pair.close();
  });

  it('answerSetup decides the DTLS role where the offer leaves the choice', async () => {
    const pair = new Pair({ purertc: loopback }, { purertc: { ...loopback, answerSetup: 'passive' } });
    const [a] = await pair.connect();
    expect(pair.b.localDescription!.sdp).toContain('a=setup:passive');
    expect(a.id).toBe(0); // RFC 8832 §6: the DTLS client opens even streams
    pair.close();
  });
});

describe('setConfiguration', () => {
  it('asks the servers of the new list with the next ICE restart, and no others', async () => {
    const servers = [new StunServer(), new StunServer()];
    const urls = await Promise.all(
      servers.map(async (server) => `stun:127.0.0.1:${(await server.listen({ port: 0 })).port}`),
    );
    const requests = () => servers.map(({ counters }) => counters.requests > 0);
    const pair = new Pair({ iceServers: [{ urls: urls[0]! }], purertc: loopback });
    await pair.connect();
    await untilGathered(pair.a);
    expect(requests()).toEqual([true, false]);
    const before = servers[0]!.counters.requests;
    pair.a.setConfiguration({ iceServers: [{ urls: urls[1]! }] });
    pair.a.restartIce();
    await negotiate(pair.a, pair.b);
    await untilGathered(pair.a);
    expect(requests()).toEqual([true, true]);
    expect(servers[0]!.counters.requests).toBe(before);
    pair.close();
    for (const server of servers) server.close();
  });

  it.each(['udp', 'tcp'] as const)(
    'leaves a relay on a server over %s that is not in the new list to the generation that uses it',
    async (transport) => {
      const servers = await Promise.all(
        [0, 1].map(async () => {
          const server = new TurnServer({
            realm: 'example.org',
            users: { ada: 'lovelace' },
            relayAddresses: ['127.0.0.1'],
            peers: { allowLoopback: true },
          });
          const { port } = await server.listen({ host: '127.0.0.1', port: 0, transport });
          const urls = `turn:127.0.0.1:${port}?transport=${transport}`;
          return { server, ice: { urls, username: 'ada', credential: 'lovelace' } };
        }),
      );
      const allocations = () => servers.map(({ server }) => server.stats.allocations);
      // Relayed over TCP too (RFC 6062) where the server is reached so.
      const each = transport === 'tcp' ? 2 : 1;
      const purertc = { ...loopback, tcpRelays: true, iceTcp: ['active'] } satisfies PurertcOptions;
      const iceTransportPolicy = 'relay';
      const pair = new Pair({ iceServers: [servers[0]!.ice], iceTransportPolicy, purertc }, { purertc: loopback });
      const [channel, far] = await pair.connect();
      far.onmessage = ({ data }) => far.send(data);
      await expect.poll(allocations).toEqual([each, 0]);
      pair.a.setConfiguration({ iceServers: [servers[1]!.ice], iceTransportPolicy });
      pair.a.restartIce();
      await pair.a.setLocalDescription();
      await untilGathered(pair.a);
      expect(allocations()).toEqual([each, each]); // the offer is not answered yet
      channel.send('by way of the old one');
      await once(channel, 'message');
      await pair.b.setRemoteDescription(pair.a.localDescription!);
      await pair.b.setLocalDescription();
      await pair.a.setRemoteDescription(pair.b.localDescription!);
      await expect.poll(allocations, { timeout: 15_000 }).toEqual([0, each]);
      channel.send('by way of the new one');
      await once(channel, 'message');
      pair.close();
      await expect.poll(allocations).toEqual([0, 0]);
      await Promise.all(servers.map(({ server }) => server.close()));
    },
    30_000,
  );

  it('a changed iceTransportPolicy applies with the next ICE restart (RFC 9429 §4.1.18)', async () => {
    const pair = new Pair();
    await pair.connect();
    const candidates = () => pair.a.localDescription!.sdp.match(/^a=candidate:.* typ host/gm)?.length ?? 0;
    await untilGathered(pair.a);
    expect(candidates()).toBe(1);
    pair.a.setConfiguration({ iceTransportPolicy: 'relay' });
    expect(pair.a.getConfiguration().iceTransportPolicy).toBe('relay');
    expect(candidates()).toBe(1); // "no action will be taken"
    pair.a.restartIce();
    await negotiate(pair.a, pair.b);
    await untilGathered(pair.a);
    expect(candidates()).toBe(0); // and there is no TURN server
    pair.a.setConfiguration({ iceTransportPolicy: 'all' });
    pair.a.restartIce();
    await negotiate(pair.a, pair.b);
    await untilGathered(pair.a);
    expect(candidates()).toBe(1);
    await expect.poll(() => pair.a.connectionState).toBe('connected');
    pair.close();
  });
});
