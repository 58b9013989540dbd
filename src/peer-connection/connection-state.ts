import type { RTCDtlsTransportState } from './rtc-dtls-transport.ts';
import type { RTCIceGathererState, RTCIceTransportState } from './rtc-ice-transport.ts';
import type { RTCSdpType } from './rtc-session-description.ts';

/** W3C RTCSignalingState. */
export type RTCSignalingState =
  | 'stable'
  | 'have-local-offer'
  | 'have-remote-offer'
  | 'have-local-pranswer'
  | 'have-remote-pranswer'
  | 'closed';

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

type Moves = { readonly [state in RTCSignalingState]?: RTCSignalingState };

/** The transitions of RFC 9429 §3.2, figure 2, and of W3C RTCSignalingState: unlisted means InvalidStateError. */
const MOVES: { readonly [side in 'local' | 'remote']: { readonly [type in RTCSdpType]: Moves } } = {
  local: {
    offer: { stable: 'have-local-offer', 'have-local-offer': 'have-local-offer' },
    pranswer: { 'have-remote-offer': 'have-local-pranswer', 'have-local-pranswer': 'have-local-pranswer' },
    answer: { 'have-remote-offer': 'stable', 'have-local-pranswer': 'stable' },
    rollback: { 'have-local-offer': 'stable', 'have-remote-offer': 'stable' },
  },
  remote: {
    offer: { stable: 'have-remote-offer', 'have-remote-offer': 'have-remote-offer' },
    pranswer: { 'have-local-offer': 'have-remote-pranswer', 'have-remote-pranswer': 'have-remote-pranswer' },
    answer: { 'have-local-offer': 'stable', 'have-remote-pranswer': 'stable' },
    rollback: { 'have-local-offer': 'stable', 'have-remote-offer': 'stable' },
  },
};

/** The state after setting a description, or undefined where the type is not allowed in this state. */
export function nextSignalingState(
  state: RTCSignalingState,
  side: 'local' | 'remote',
  type: RTCSdpType,
): RTCSignalingState | undefined {
  return MOVES[side][type][state];
}
