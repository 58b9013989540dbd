import type { SignalingState } from '../sdp/index.ts';
import type { RTCDtlsTransportState } from './rtc-dtls-transport.ts';
import type { RTCIceGathererState, RTCIceTransportState } from './rtc-ice-transport.ts';

/** W3C RTCSignalingState. */
export type RTCSignalingState = SignalingState;

/** W3C RTCIceGatheringState, RTCIceConnectionState: with one transport the same as the transport's. */
export type RTCIceGatheringState = RTCIceGathererState;
export type RTCIceConnectionState = RTCIceTransportState;

/** W3C RTCPeerConnectionState. */
export type RTCPeerConnectionState = 'closed' | 'failed' | 'disconnected' | 'new' | 'connecting' | 'connected';

/** The table of W3C RTCPeerConnectionState for a connection that has one transport and is not closed. */
export function deriveConnectionState(ice: RTCIceTransportState, dtls: RTCDtlsTransportState): RTCPeerConnectionState {
  if (ice === 'failed' || dtls === 'failed') return 'failed';
  if (ice === 'disconnected') return 'disconnected';
  if ((ice === 'new' || ice === 'closed') && (dtls === 'new' || dtls === 'closed')) return 'new';
  if (ice === 'new' || ice === 'checking' || dtls === 'new' || dtls === 'connecting') return 'connecting';
  return 'connected';
}
