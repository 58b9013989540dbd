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

const TRANSPORT_ID = 'T0';
const SCTP_ID = 'S0';
const CONNECTION_ID = 'P';

/** All dictionaries of a connection as it is now. */
export function collectStats(session: PeerSession | undefined, timestamp: number): RTCStatsReport {
  if (session === undefined) {
    const none = { dataChannelsOpened: 0, dataChannelsClosed: 0 };
    return makeReport([{ timestamp, type: 'peer-connection', id: CONNECTION_ID, ...none }]);
  }
  const certificates = certificateStats(session, timestamp);
  return makeReport([
    ...connectionStats(session, timestamp),
    ...certificates,
    transportStats(session, timestamp, certificates),
    ...iceStats(session, timestamp),
    ...sctpStats(session, timestamp),
  ]);
}

/** RTCPeerConnectionStats and RTCDataChannelStats. */
function connectionStats(session: PeerSession, timestamp: number): RTCStats[] {
  const { transport } = session;
  const channels = transport.isConnecting ? transport.channels : undefined;
  const { opened = 0, closed = 0 } = channels?.totals ?? {};
  const totals = { dataChannelsOpened: opened, dataChannelsClosed: closed };
  const stats: RTCStats[] = [{ timestamp, type: 'peer-connection', id: CONNECTION_ID, ...totals }];
  for (const { channel, handle, number } of session.channels.list()) {
    const { label, protocol, id, readyState: state } = channel;
    const info = handle === undefined ? undefined : channels?.info(handle);
    const { messagesSent = 0, bytesSent = 0, messagesReceived = 0, bytesReceived = 0 } = info ?? {};
    const counters = { messagesSent, bytesSent, messagesReceived, bytesReceived };
    const what = { label, protocol, ...(id !== null && { dataChannelIdentifier: id }), state };
    stats.push({ timestamp, type: 'data-channel', id: `D${number}`, ...what, ...counters });
  }
  return stats;
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
function transportStats(session: PeerSession, timestamp: number, certificates: readonly RTCStats[]): RTCStats {
  const { transport, ice } = session;
  const stats = transport.ice.stats();
  const sum = (member: 'packetsSent' | 'packetsReceived' | 'bytesSent' | 'bytesReceived'): number =>
    stats.candidatePairs.reduce((total, pair) => total + pair[member], 0);
  const negotiated = transport.dtls?.negotiated;
  return {
    timestamp,
    type: 'transport',
    id: TRANSPORT_ID,
    packetsSent: sum('packetsSent'),
    packetsReceived: sum('packetsReceived'),
    bytesSent: sum('bytesSent'),
    bytesReceived: sum('bytesReceived'),
    iceRole: ice.role,
    iceLocalUsernameFragment: stats.iceLocalUsernameFragment,
    dtlsState: session.rtcSctp.transport.state,
    iceState: ice.state,
    selectedCandidatePairChanges: stats.selectedCandidatePairChanges,
    ...(stats.selectedCandidatePairId !== undefined && { selectedCandidatePairId: stats.selectedCandidatePairId }),
    localCertificateId: certificates[0]?.id,
    ...(certificates[1] !== undefined && { remoteCertificateId: certificates[1].id }),
    ...(transport.dtls !== undefined && { dtlsRole: transport.dtls.role }),
    // RFC 6347 §4.1: the version of DTLS 1.2 on the wire, as four hexadecimal digits.
    ...(negotiated !== undefined && { tlsVersion: 'FEFD', dtlsCipher: negotiated.cipherSuite }),
  };
}

/** RTCIceCandidateStats and RTCIceCandidatePairStats; the agent's clock becomes wall time. */
function iceStats(session: PeerSession, timestamp: number): RTCStats[] {
  const { candidates, candidatePairs } = session.transport.ice.stats();
  const now = session.platform.now();
  const wall = (at: Instant | undefined): number | undefined => (at === undefined ? undefined : timestamp - (now - at));
  const transportId = TRANSPORT_ID;
  return [
    ...candidates.map((candidate) => {
      // A peer-reflexive candidate was never signalled, and with it the name of its generation: the current one.
      const { usernameFragment = session.ice.remoteParameters?.usernameFragment, address } = candidate;
      return present({ timestamp, transportId, ...candidate, usernameFragment, ip: address });
    }),
    ...candidatePairs.map((pair) =>
      present({
        timestamp,
        transportId,
        ...pair,
        lastPacketSentTimestamp: wall(pair.lastPacketSentTimestamp),
        lastPacketReceivedTimestamp: wall(pair.lastPacketReceivedTimestamp),
      }),
    ),
  ];
}

/** What W3C's RTCSctpTransportStats had, and more of what the association knows. Times in seconds, sizes in bytes. */
function sctpStats(session: PeerSession, timestamp: number): RTCStats[] {
  const { sctp } = session.transport;
  if (sctp === undefined) return [];
  const stats = sctp.stats();
  return [
    present({
      timestamp,
      type: 'sctp-transport',
      id: SCTP_ID,
      transportId: TRANSPORT_ID,
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
