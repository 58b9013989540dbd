export type { RTCDataChannelInit } from './channel-settings.ts';
export { CHANNEL_STREAM_BUFFER_BYTES, type ChannelStreams, channelStreams } from './channel-streams.ts';
export * from './configuration.ts';
export type {
  RTCIceConnectionState,
  RTCIceGatheringState,
  RTCPeerConnectionState,
  RTCSignalingState,
} from './connection-state.ts';
export { RTCDataChannelEvent, type RTCDataChannelEventInit } from './data-channel-event.ts';
export { classifyPacket, type PacketKind } from './demux.ts';
export {
  RTCErrorEvent,
  type RTCErrorEventInit,
  RTCPeerConnectionIceErrorEvent,
  type RTCPeerConnectionIceErrorEventInit,
  RTCPeerConnectionIceEvent,
  type RTCPeerConnectionIceEventInit,
} from './events.ts';
export { type Fingerprint, matchFingerprint } from './fingerprints.ts';
export { type IceServerUrl, parseIceServerUrl } from './ice-server-url.ts';
export { usableAddresses } from './local-bases.ts';
export * from './peer-transport.ts';
export { MAX_MUX_CONNECTIONS } from './port-shares.ts';
export { MAX_RELAY_PATHS, type RelayFailure, type TurnServer } from './relay.ts';
export { MAX_RELAYS, MAX_REMEMBERED_PEERS, type Relays } from './relays.ts';
export {
  type CertificateAlgorithm,
  RTCCertificate,
  type RTCDtlsFingerprint,
  toRtcCertificate,
} from './rtc-certificate.ts';
export {
  type BinaryType,
  RTCDataChannel,
  type RTCDataChannelEventMap,
  type RTCDataChannelState,
} from './rtc-data-channel.ts';
export {
  RTCDtlsTransport,
  type RTCDtlsTransportEventMap,
  type RTCDtlsTransportState,
} from './rtc-dtls-transport.ts';
export { RTCError, type RTCErrorDetailType, type RTCErrorInit } from './rtc-error.ts';
export {
  RTCIceCandidate,
  type RTCIceCandidateInit,
  type RTCIceCandidateType,
  type RTCIceComponent,
  type RTCIceProtocol,
  type RTCIceServerTransportProtocol,
  type RTCIceTcpCandidateType,
  type RTCLocalIceCandidateInit,
} from './rtc-ice-candidate.ts';
export {
  RTCIceCandidatePair,
  type RTCIceGathererState,
  type RTCIceParameters,
  type RTCIceRole,
  RTCIceTransport,
  type RTCIceTransportEventMap,
  type RTCIceTransportState,
} from './rtc-ice-transport.ts';
export {
  type RTCAnswerOptions,
  type RTCOfferOptions,
  RTCPeerConnection,
  type RTCPeerConnectionErrorCallback,
  type RTCPeerConnectionEventMap,
  type RTCSessionDescriptionCallback,
} from './rtc-peer-connection.ts';
export { RTCSctpTransport, type RTCSctpTransportEventMap, type RTCSctpTransportState } from './rtc-sctp-transport.ts';
export {
  type RTCLocalSessionDescriptionInit,
  type RTCSdpType,
  RTCSessionDescription,
  type RTCSessionDescriptionInit,
} from './rtc-session-description.ts';
export type { DatagramObserver } from './socket-host.ts';
export { type RTCStats, RTCStatsReport, type RTCStatsType } from './stats.ts';
export { MAX_MUX_STREAMS, TcpMux } from './tcp-mux.ts';
export * from './transport-types.ts';
export { UdpMux } from './udp-mux.ts';
export { MAX_UNKNOWN_CHECKS_PER_SECOND, type MuxOptions, type UnknownCheck } from './unknown-checks.ts';
export type { EventHandler } from './web-idl.ts';
