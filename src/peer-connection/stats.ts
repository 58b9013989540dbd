import type { Instant } from '../core/index.ts';
import { certificateFingerprint } from '../crypto/index.ts';
import { bytesToBase64 } from './base64.ts';
import type { PeerSession } from './peer-session.ts';
import { ConstructorGate, defineInterface } from './web-idl.ts';

/** W3C RTCStatsType, and `sctp-transport` for what SCTP knows. */
export type RTCStatsType =
  | 'candidate-pair'
  | 'certificate'
  | 'data-channel'
  | 'local-candidate'
  | 'peer-connection'
  | 'remote-candidate'
  | 'sctp-transport'
  | 'transport';

/** W3C RTCStats: the members that all dictionaries have; the others are those of W3C "Identifiers for WebRTC's Statistics API". */
export interface RTCStats {
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly type: RTCStatsType;
  readonly id: string;
  readonly [member: string]: unknown;
}

const gate = new ConstructorGate<Iterable<RTCStats>>();

/** W3C RTCStatsReport: a read-only map from id to dictionary. */
export class RTCStatsReportImpl {
  readonly #stats: ReadonlyMap<string, RTCStats>;

  constructor() {
    this.#stats = new Map(Array.from(gate.take(), (dictionary) => [dictionary.id, dictionary]));
  }

  get size(): number {
    return this.#stats.size;
  }

  get(id: string): RTCStats | undefined {
    return this.#stats.get(id);
  }

  has(id: string): boolean {
    return this.#stats.has(id);
  }

  entries(): MapIterator<[string, RTCStats]> {
    return this.#stats.entries();
  }

  keys(): MapIterator<string> {
    return this.#stats.keys();
  }

  values(): MapIterator<RTCStats> {
    return this.#stats.values();
  }

  forEach(
    callback: (value: RTCStats, key: string, parent: RTCStatsReport) => void,
    thisArg: unknown = undefined,
  ): void {
    for (const [id, dictionary] of this.#stats) callback.call(thisArg, dictionary, id, this);
  }

  declare [Symbol.iterator]: () => MapIterator<[string, RTCStats]>;

  static {
    defineInterface(RTCStatsReportImpl, 'RTCStatsReport');
    // Web IDL "maplike": the iterator is the function `entries` itself.
    const { entries } = RTCStatsReportImpl.prototype;
    Object.defineProperty(RTCStatsReportImpl.prototype, Symbol.iterator, {
      configurable: true,
      writable: true,
      value: entries,
    });
  }
}

/** {@link RTCStatsReportImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCStatsReport = Pick<RTCStatsReportImpl, keyof RTCStatsReportImpl>;

export const RTCStatsReport: {
  readonly prototype: RTCStatsReport;
  new (): RTCStatsReport;
} = RTCStatsReportImpl;

function makeReport(stats: Iterable<RTCStats>): RTCStatsReport {
  return gate.make(stats, () => new RTCStatsReportImpl());
}

const CONNECTION_ID = 'P';

/**
 * What came before a session in the life of its connection, whose transports were done with when its data section was
 * rejected: totals go on, and what is another object has another id.
 */
export interface PastSessions {
  readonly sessions: number;
  readonly associations: number;
  readonly channels: number;
  readonly channelsOpened: number;
  readonly channelsClosed: number;
}

export const NO_PAST: PastSessions = {
  sessions: 0,
  associations: 0,
  channels: 0,
  channelsOpened: 0,
  channelsClosed: 0,
};

/** The same with one session more. */
export function withSession(past: PastSessions, session: PeerSession): PastSessions {
  const { opened, closed } = totalsOf(session);
  return {
    sessions: past.sessions + 1,
    associations: past.associations + session.shown.associations,
    channels: past.channels + session.channels.created,
    channelsOpened: past.channelsOpened + opened,
    channelsClosed: past.channelsClosed + closed,
  };
}

function totalsOf({ transport }: PeerSession): { readonly opened: number; readonly closed: number } {
  return transport.isConnecting ? transport.channels.totals : { opened: 0, closed: 0 };
}

/** All dictionaries of a connection as it is now. */
export function collectStats(session: PeerSession | undefined, past: PastSessions, timestamp: number): RTCStatsReport {
  const { opened, closed } = session === undefined ? { opened: 0, closed: 0 } : totalsOf(session);
  const totals = {
    dataChannelsOpened: past.channelsOpened + opened,
    dataChannelsClosed: past.channelsClosed + closed,
  };
  const connection: RTCStats = { timestamp, type: 'peer-connection', id: CONNECTION_ID, ...totals };
  if (session === undefined) return makeReport([connection]);
  const transportId = `T${past.sessions}`;
  const certificates = certificateStats(session, timestamp);
  return makeReport([
    connection,
    ...channelStats(session, past, timestamp),
    ...certificates,
    transportStats(session, transportId, timestamp, certificates),
    ...iceStats(session, transportId, timestamp),
    ...sctpStats(session, past, transportId, timestamp),
  ]);
}

/** RTCDataChannelStats. */
function channelStats(session: PeerSession, past: PastSessions, timestamp: number): RTCStats[] {
  const { transport } = session;
  const channels = transport.isConnecting ? transport.channels : undefined;
  return session.channels.list().map(({ channel, handle, number }) => {
    const { label, protocol, id, readyState: state } = channel;
    const info = handle === undefined ? undefined : channels?.info(handle);
    const { messagesSent = 0, bytesSent = 0, messagesReceived = 0, bytesReceived = 0 } = info ?? {};
    const counters = { messagesSent, bytesSent, messagesReceived, bytesReceived };
    const what = { label, protocol, ...(id !== null && { dataChannelIdentifier: id }), state };
    return { timestamp, type: 'data-channel', id: `D${past.channels + number}`, ...what, ...counters };
  });
}

/** RTCCertificateStats: ours first, then what the peer has shown. */
function certificateStats(session: PeerSession, timestamp: number): RTCStats[] {
  const { crypto } = session.env;
  return [session.certificate.der, ...(session.transport.dtls?.peerCertificates ?? [])].map((der) => {
    const fingerprint = certificateFingerprint(crypto, 'sha-256', der);
    const encoded = { fingerprintAlgorithm: 'sha-256', base64Certificate: bytesToBase64(der) };
    return { timestamp, type: 'certificate', id: `CF${fingerprint}`, fingerprint, ...encoded };
  });
}

/** RTCTransportStats. */
function transportStats(
  session: PeerSession,
  id: string,
  timestamp: number,
  certificates: readonly RTCStats[],
): RTCStats {
  const { transport, ice } = session;
  const stats = transport.ice.stats();
  const negotiated = transport.dtls?.negotiated;
  const { selectedCandidatePairId } = stats;
  return {
    timestamp,
    type: 'transport',
    id,
    ...transport.traffic,
    iceRole: ice.role,
    iceLocalUsernameFragment: stats.iceLocalUsernameFragment,
    dtlsState: session.shown.rtcSctp.transport.state,
    iceState: ice.state,
    selectedCandidatePairChanges: stats.selectedCandidatePairChanges,
    ...(selectedCandidatePairId !== undefined && { selectedCandidatePairId: idIn(id, selectedCandidatePairId) }),
    localCertificateId: certificates[0]?.id,
    ...(certificates[1] !== undefined && { remoteCertificateId: certificates[1].id }),
    ...(transport.dtls !== undefined && { dtlsRole: transport.dtls.role }),
    // RFC 6347 §4.1: the version of DTLS 1.2 on the wire, as four hexadecimal digits.
    ...(negotiated !== undefined && { tlsVersion: 'FEFD', dtlsCipher: negotiated.cipherSuite }),
  };
}

/** Of a candidate or pair: ids of the agent are unique in the agent, of which there is one for each transport. */
function idIn(transportId: string, id: string): string {
  return `${transportId}-${id}`;
}

/** RTCIceCandidateStats and RTCIceCandidatePairStats; the agent's clock becomes wall time. */
function iceStats(session: PeerSession, transportId: string, timestamp: number): RTCStats[] {
  const { candidates, candidatePairs } = session.transport.ice.stats();
  const now = session.platform.now();
  const wall = (at: Instant | undefined): number | undefined => (at === undefined ? undefined : timestamp - (now - at));
  return [
    ...candidates.map((candidate) => {
      // A peer-reflexive candidate was never signalled, and with it the name of its generation: the current one.
      const { usernameFragment = session.ice.remoteParameters?.usernameFragment, address } = candidate;
      const id = idIn(transportId, candidate.id);
      return present({ timestamp, transportId, ...candidate, id, usernameFragment, ip: address });
    }),
    ...candidatePairs.map((pair) =>
      present({
        timestamp,
        transportId,
        ...pair,
        id: idIn(transportId, pair.id),
        localCandidateId: idIn(transportId, pair.localCandidateId),
        remoteCandidateId: idIn(transportId, pair.remoteCandidateId),
        lastPacketSentTimestamp: wall(pair.lastPacketSentTimestamp),
        lastPacketReceivedTimestamp: wall(pair.lastPacketReceivedTimestamp),
      }),
    ),
  ];
}

/** What W3C's RTCSctpTransportStats had, and more of what the association knows. Times in seconds, sizes in bytes. */
function sctpStats(session: PeerSession, past: PastSessions, transportId: string, timestamp: number): RTCStats[] {
  const { sctp } = session.transport;
  if (sctp === undefined) return [];
  const stats = sctp.stats();
  return [
    present({
      timestamp,
      type: 'sctp-transport',
      id: `S${past.associations + session.shown.associations - 1}`,
      transportId,
      smoothedRoundTripTime: stats.smoothedRttMs === undefined ? undefined : stats.smoothedRttMs / 1000,
      retransmissionTimeout: stats.rtoMs / 1000,
      congestionWindow: stats.congestionWindowBytes,
      slowStartThreshold: stats.slowStartThresholdBytes,
      bytesInFlight: stats.flightBytes,
      receiverWindow: stats.peerReceiveWindowBytes,
      localReceiverWindow: stats.receiveWindowBytes,
      mtu: stats.mtuBytes,
      packetsSent: stats.packetsSent,
      packetsReceived: stats.packetsReceived,
      bytesSent: stats.bytesSent,
      bytesReceived: stats.bytesReceived,
      retransmissions: stats.retransmissions,
      retransmissionTimeouts: stats.timeouts,
      abandonedMessages: stats.abandonedMessages,
    }),
  ];
}

/** Web IDL dictionaries have no undefined members. */
function present({ timestamp, type, id, ...members }: RTCStats): RTCStats {
  const known = Object.entries(members).filter(([, value]) => value !== undefined);
  return { timestamp, type, id, ...Object.fromEntries(known) };
}
