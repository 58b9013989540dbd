/** The messages of docs/signaling.md as types. One is one WebSocket text message. */

/** WebSocket subprotocol name (RFC 6455 §1.9). */
export const SUBPROTOCOL = 'purertc.v1';

/** A description as it is relayed; the SDP is not read. */
export interface RelayedDescription {
  readonly type: 'offer' | 'answer' | 'pranswer' | 'rollback';
  readonly sdp: string;
}

/** The members of the W3C `RTCIceCandidateInit`. */
export interface RelayedCandidate {
  readonly candidate: string;
  readonly sdpMid?: string | null;
  readonly sdpMLineIndex?: number | null;
  readonly usernameFragment?: string | null;
}

/** Somebody in a room. `name` is for people and not unique. */
export interface PeerInfo {
  readonly id: string;
  readonly name: string;
}

export type ClientMessage =
  | { readonly type: 'join'; readonly room: string; readonly name: string }
  | { readonly type: 'description'; readonly to: string; readonly description: RelayedDescription }
  | { readonly type: 'candidate'; readonly to: string; readonly candidate: RelayedCandidate | null }
  | { readonly type: 'leave' }
  | { readonly type: 'ping'; readonly id: number };

export type ServerMessage =
  | { readonly type: 'welcome'; readonly id: string; readonly room: string; readonly peers: readonly PeerInfo[] }
  | { readonly type: 'peer-joined'; readonly peer: PeerInfo }
  | { readonly type: 'peer-left'; readonly id: string; readonly reason: LeaveReason }
  | { readonly type: 'description'; readonly from: string; readonly description: RelayedDescription }
  | { readonly type: 'candidate'; readonly from: string; readonly candidate: RelayedCandidate | null }
  | { readonly type: 'pong'; readonly id: number }
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string; readonly to?: string };

/** `left`: the peer said so. `lost`: its connection broke or was ended. */
export type LeaveReason = 'left' | 'lost';

/** Every code of docs/signaling.md. */
export const ERROR_CODES = [
  'unknown-type',
  'not-joined',
  'already-joined',
  'room-full',
  'too-many-rooms',
  'unknown-peer',
  'bad-message',
  'rate-limited',
  'join-timeout',
  'idle',
  'server-full',
  'shutting-down',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Errors that end the connection, with the close code that says so too (RFC 6455 §7.4.1). */
export const CLOSE_CODES: Partial<Record<ErrorCode, number>> = {
  'bad-message': 1007,
  'rate-limited': 1008,
  'join-timeout': 1008,
  idle: 1008,
  'server-full': 1013,
  'shutting-down': 1001,
};
