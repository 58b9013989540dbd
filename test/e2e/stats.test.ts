import { afterEach, expect, it } from 'vitest';
import { RTCPeerConnection, type RTCStats, type RTCStatsReport } from '../../src/index.ts';
import { LOOPBACK, negotiate, once, Pair, trickle, untilState } from './support.ts';

let pair: Pair | undefined;
afterEach(() => {
  pair?.close();
  pair = undefined;
});

function ofType(report: RTCStatsReport, type: RTCStats['type']): RTCStats[] {
  return [...report.values()].filter((stats) => stats.type === type);
}

it('getStats shows the dictionaries of webrtc-stats, linked by their ids', async () => {
  pair = new Pair();
  const [a, b] = await pair.connect({ protocol: 'p' });
  const received = once(b, 'message');
  a.send('twelve bytes');
  await received;
  const report = await pair.a.getStats();
  for (const [id, stats] of report) {
    expect(stats.id).toBe(id);
    expect(Math.abs(stats.timestamp - Date.now())).toBeLessThan(5000);
  }
  expect(ofType(report, 'peer-connection')).toMatchObject([{ dataChannelsOpened: 1, dataChannelsClosed: 0 }]);
  expect(ofType(report, 'data-channel')).toMatchObject([
    {
      label: 'test',
      protocol: 'p',
      dataChannelIdentifier: a.id,
      state: 'open',
      messagesSent: 1,
      bytesSent: 12,
      messagesReceived: 0,
      bytesReceived: 0,
    },
  ]);
  const [transport] = ofType(report, 'transport');
  expect(transport).toMatchObject({
    dtlsState: 'connected',
    dtlsRole: 'server',
    iceRole: 'controlling',
    tlsVersion: 'FEFD',
    dtlsCipher: expect.stringMatching(/^TLS_ECDHE_/),
  });
  const pairStats = report.get(`${transport?.['selectedCandidatePairId']}`);
  expect(pairStats).toMatchObject({ type: 'candidate-pair', state: 'succeeded' });
  expect(pairStats?.['bytesSent']).toBeGreaterThan(0);
  expect(pairStats?.['currentRoundTripTime']).toBeGreaterThan(0);
  expect(report.get(`${pairStats?.['localCandidateId']}`)).toMatchObject({
    type: 'local-candidate',
    address: '127.0.0.1',
  });
  expect(report.get(`${pairStats?.['remoteCandidateId']}`)).toMatchObject({
    type: 'remote-candidate',
    port: expect.any(Number),
  });
  const certificate = report.get(`${transport?.['remoteCertificateId']}`);
  expect(pair.a.remoteDescription?.sdp).toContain(`${certificate?.['fingerprint']}`);
  const der = Buffer.from(`${certificate?.['base64Certificate']}`, 'base64');
  expect(new Uint8Array(der)).toEqual(new Uint8Array(pair.a.sctp!.transport.getRemoteCertificates()[0]!));
  expect(ofType(report, 'sctp-transport')).toMatchObject([
    { mtu: expect.any(Number), congestionWindow: expect.any(Number), retransmissions: 0 },
  ]);
});

/** webrtc-stats, for what has no media; what a self-signed certificate or a host candidate does not have is left out. */
const MEMBERS: Readonly<Partial<Record<RTCStats['type'], string>>> = {
  'peer-connection': 'dataChannelsOpened dataChannelsClosed',
  'data-channel': 'label protocol dataChannelIdentifier state messagesSent bytesSent messagesReceived bytesReceived',
  transport:
    'packetsSent packetsReceived bytesSent bytesReceived iceRole iceLocalUsernameFragment dtlsState iceState ' +
    'selectedCandidatePairId localCertificateId remoteCertificateId tlsVersion dtlsCipher dtlsRole ' +
    'selectedCandidatePairChanges',
  certificate: 'fingerprint fingerprintAlgorithm base64Certificate',
  'local-candidate': 'transportId address port protocol candidateType priority foundation usernameFragment',
  'remote-candidate': 'transportId address port protocol candidateType priority foundation usernameFragment',
  'candidate-pair':
    'transportId localCandidateId remoteCandidateId state nominated packetsSent packetsReceived bytesSent bytesReceived ' +
    'lastPacketSentTimestamp lastPacketReceivedTimestamp totalRoundTripTime currentRoundTripTime requestsReceived ' +
    'requestsSent responsesReceived responsesSent consentRequestsSent',
};

it('getStats has every member of webrtc-stats that a data connection can have', async () => {
  pair = new Pair();
  await pair.connect();
  const report = await pair.a.getStats();
  for (const [type, members] of Object.entries(MEMBERS)) {
    const stats = [...report.values()].find(
      (one) => one.type === type && (type !== 'candidate-pair' || one['nominated'] === true),
    );
    const missing = members.split(' ').filter((name) => stats?.[name] === undefined);
    expect([type, missing]).toEqual([type, []]);
    expect(Object.values(stats ?? {})).not.toContain(undefined);
  }
});

it('a channel has a dictionary from its creation to its end, with one id; after that only the totals know of it', async () => {
  pair = new Pair();
  const early = pair.a.createDataChannel('early', { protocol: 'p' });
  const listed = async () => ofType(await pair!.a.getStats(), 'data-channel');
  const zeros = { messagesSent: 0, bytesSent: 0, messagesReceived: 0, bytesReceived: 0 };
  const [before] = await listed();
  expect(before).toMatchObject({ label: 'early', protocol: 'p', state: 'connecting', ...zeros });
  expect(before).not.toHaveProperty('dataChannelIdentifier');
  const [channel] = await pair.connect();
  channel.send('four');
  expect(await listed()).toMatchObject([
    { id: before?.id, dataChannelIdentifier: early.id },
    { label: 'test', state: 'open', messagesSent: 1, bytesSent: 4, dataChannelIdentifier: channel.id },
  ]);
  const closed = once(early, 'close');
  early.close();
  expect((await listed())[0]).toMatchObject({ id: before?.id, state: 'closing' });
  await closed;
  const report = await pair.a.getStats();
  expect(ofType(report, 'data-channel')).toMatchObject([{ label: 'test' }]);
  expect(ofType(report, 'peer-connection')).toMatchObject([{ dataChannelsOpened: 2, dataChannelsClosed: 1 }]);
  pair.a.close();
  expect(ofType(await pair.a.getStats(), 'peer-connection')).toHaveLength(1);
});

it('before anything has happened there is one dictionary, and the report is a read-only map', async () => {
  const pc = new RTCPeerConnection();
  const report = await pc.getStats();
  expect([...report.keys()]).toEqual(['P']);
  expect(report.size).toBe(1);
  expect(report.has('P')).toBe(true);
  const seen: string[] = [];
  report.forEach((stats, id, parent) => {
    seen.push(`${stats.type} ${id} ${parent === report}`);
  });
  expect(seen).toEqual(['peer-connection P true']);
  expect(Object.prototype.toString.call(report)).toBe('[object RTCStatsReport]');
  pc.close();
});

it('the counters of a transport never go back, whatever becomes of its pairs', async () => {
  pair = new Pair();
  const [channel, far] = await pair.connect();
  const transport = async () => ofType(await pair!.a.getStats(), 'transport')[0]!;
  const received = once(far, 'message');
  channel.send(new Uint8Array(50_000));
  await received;
  const before = await transport();
  expect(before['bytesSent']).toBeGreaterThan(50_000);
  pair.a.restartIce();
  await negotiate(pair.a, pair.b);
  // The old generation is gone, and its pair with it.
  const ufrag = pair.a.sctp!.transport.iceTransport.getLocalParameters?.()?.usernameFragment;
  const isOver = async () =>
    [...ofType(await pair!.a.getStats(), 'local-candidate')].every((one) => one['usernameFragment'] === ufrag);
  await expect.poll(isOver, { timeout: 10_000 }).toBe(true);
  const after = await transport();
  expect(after['id']).toBe(before['id']);
  for (const member of ['packetsSent', 'packetsReceived', 'bytesSent', 'bytesReceived']) {
    expect([member, Number(after[member]) >= Number(before[member])]).toEqual([member, true]);
  }
});

it('the totals go on where a recycled data section has other transports, which have other ids', async () => {
  pair = new Pair();
  const { a, b } = pair;
  const [channel] = await pair.connect();
  const idsOf = (report: RTCStatsReport) =>
    [...report.values()].flatMap(({ type, id }) => (type === 'peer-connection' || type === 'certificate' ? [] : [id]));
  const before = idsOf(await a.getStats());
  const closed = once(channel, 'close');
  // The answerer rejects data, as a browser without channels would.
  await a.setLocalDescription();
  const { sdp } = a.localDescription!;
  const rejected = sdp
    .replace(/m=application \d+/, 'm=application 0')
    .replace(/a=group:BUNDLE.*\r\n/, '')
    .replace('a=setup:actpass', 'a=setup:active');
  await a.setRemoteDescription({ type: 'answer', sdp: rejected });
  await closed;
  const totals = async () => ofType(await a.getStats(), 'peer-connection')[0];
  expect(await totals()).toMatchObject({ dataChannelsOpened: 1, dataChannelsClosed: 1 });
  b.close();
  const other = new RTCPeerConnection(LOOPBACK);
  trickle(a, other);
  const again = a.createDataChannel('again');
  await negotiate(a, other);
  await untilState(again, 'open');
  expect(await totals()).toMatchObject({ dataChannelsOpened: 2, dataChannelsClosed: 1 });
  const after = idsOf(await a.getStats());
  expect(after.filter((id) => before.includes(id))).toEqual([]);
  other.close();
});
