import { DtlsClient, type DtlsEndpoint, DtlsServer, type Negotiated } from '../dtls/index.ts';
import type { IceAgent } from '../ice/index.ts';
import { SctpAssociation } from '../sctp/index.ts';
import type { PeerIdentity } from './peer-identity.ts';
import {
  DEFAULT_MAX_MESSAGE_SIZE,
  DEFAULT_SCTP_PORT,
  DTLS_MAX_RETRANSMISSIONS,
  DTLS_RTO_CEILING_MS,
  MAX_DTLS_RTO_MS,
  MIN_DTLS_RTO_MS,
  type PeerTransportOptions,
  type RemoteTransport,
} from './transport-types.ts';

/** One record of DTLS 1.2 (RFC 6347 §4.1). We say so (RFC 8449), so that a peer like us may fill its packets to it. */
const MAX_RECORD_BYTES = 16_384;

/** IPv6 and UDP headers (48), and the header, nonce and tag of the largest record without a connection ID (37). */
const PACKET_OVERHEAD_BYTES = 85;

/**
 * SCTP packets for which every peer has room. A peer that does not say what it takes may take less than a path carries:
 * libwebrtc reads 2,048 bytes of a record, and its DTLS never recovers from a longer one.
 */
const SAFE_PACKET_BYTES: number = 1500 - PACKET_OVERHEAD_BYTES;

/**
 * How large SCTP packets may at most be on a path.
 * @param hopMtuBytes - the largest IP packet of its first hop, where known.
 */
export function largestPacket(
  options: PeerTransportOptions,
  hopMtuBytes: number | undefined,
  negotiated: Negotiated | undefined,
): number {
  const peerBytes = negotiated?.recordSizeLimitBytes ?? SAFE_PACKET_BYTES;
  return options.sctp?.maxMtuBytes ?? Math.min((hopMtuBytes ?? 0) - PACKET_OVERHEAD_BYTES, peerBytes);
}

/** The association, as WebRTC sets it up. */
export function createAssociation(options: PeerTransportOptions, remote: RemoteTransport): SctpAssociation {
  return new SctpAssociation({
    earlyData: true, // DATA_CHANNEL_OPEN rides with the COOKIE ECHO
    zeroChecksum: true, // RFC 9653 §3: DTLS authenticates every packet already
    // Whether the peer is alive is for ICE to say (RFC 7675). An INIT may also be early: the last flight of DTLS can
    // take long to arrive, and until then the peer can read nothing. libwebrtc's dcSCTP never gives up either.
    maxInitRetransmissions: Number.POSITIVE_INFINITY,
    maxRetransmissions: Number.POSITIVE_INFINITY,
    ...options.sctp,
    env: options.env,
    localPort: remote.localSctpPort ?? options.sctpPort ?? DEFAULT_SCTP_PORT,
    remotePort: remote.sctpPort ?? DEFAULT_SCTP_PORT,
    maxMessageSize: options.maxMessageSize ?? DEFAULT_MAX_MESSAGE_SIZE,
  });
}

/**
 * Our end of DTLS, not yet started.
 * @param remoteNow - what is known of the peer when its certificate arrives, which a later description may have changed.
 */
export function createEndpoint(
  options: PeerTransportOptions,
  ice: IceAgent,
  identity: PeerIdentity,
  remote: RemoteTransport,
  remoteNow: () => RemoteTransport | undefined,
): DtlsEndpoint {
  const given = {
    initialRtoMs: initialDtlsRtoMs(ice),
    maxRtoMs: DTLS_RTO_CEILING_MS,
    maxRetransmissions: DTLS_MAX_RETRANSMISSIONS,
    recordSizeLimitBytes: MAX_RECORD_BYTES,
    ...options.dtls,
    env: options.env,
    certificate: options.certificate,
    verifyPeer: (chain: readonly Uint8Array[]) => identity.verify(chain, remoteNow()),
  };
  // RFC 8827 §6.5: both sides authenticate. No cookie: ICE has shown that the peer is where it says (RFC 8842 §4).
  return remote.dtlsRole === 'client'
    ? new DtlsClient(given)
    : new DtlsServer(Object.assign(given, { requestClientCertificate: true, cookieExchange: false }));
}

/** Three of ICE's round trips: one for the flight and some for a peer that has signatures to make. */
function initialDtlsRtoMs(ice: IceAgent): number {
  const stats = ice.stats();
  const pair = stats.candidatePairs.find((p) => p.id === stats.selectedCandidatePairId);
  const rttMs = (pair?.currentRoundTripTime ?? MAX_DTLS_RTO_MS / 1000) * 1000;
  return Math.min(MAX_DTLS_RTO_MS, Math.max(MIN_DTLS_RTO_MS, 3 * rttMs));
}
