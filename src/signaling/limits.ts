import { UsageError } from '../core/index.ts';

/** Forms of fields: part of the protocol, the same for every server (docs/signaling.md). */
export const MAX_ROOM_CHARACTERS = 64;
export const MAX_NAME_CHARACTERS = 64;
export const MAX_CANDIDATE_CHARACTERS = 1024;
export const MAX_MID_CHARACTERS = 256;
export const MAX_PING_ID = 0x7fff_ffff;

/** The largest message that a server accepts: its WebSocket shell sets it as the frame limit too. */
export const MAX_MESSAGE_BYTES = 32_768;

/** The largest message that a client accepts: a relayed one is longer by two bytes, `from` in the place of `to`. */
export const MAX_SERVER_MESSAGE_BYTES: number = MAX_MESSAGE_BYTES + 16;

/** Bounds of one server. */
export interface SignalingLimits {
  readonly maxMessageBytes: number;
  readonly maxConnections: number;
  readonly maxRooms: number;
  /** At most 100, so that a `welcome` to a full room stays within {@link MAX_MESSAGE_BYTES}. */
  readonly maxPeersPerRoom: number;
  /** Sustained messages of one connection. */
  readonly messagesPerSecond: number;
  /** Messages of one connection at once: trickled candidates come in bursts. */
  readonly messageBurst: number;
  /** How long a connection may stay outside a room. */
  readonly joinTimeoutMs: number;
  /** How long a connection may stay silent: no message, and no sign of life of its WebSocket. */
  readonly idleTimeoutMs: number;
}

export const DEFAULT_LIMITS: SignalingLimits = {
  maxMessageBytes: MAX_MESSAGE_BYTES,
  maxConnections: 1000,
  maxRooms: 500,
  maxPeersPerRoom: 16,
  messagesPerSecond: 50,
  messageBurst: 200,
  joinTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
};

const GREATEST: Partial<Record<keyof SignalingLimits, number>> = {
  maxMessageBytes: MAX_MESSAGE_BYTES,
  maxPeersPerRoom: 100,
};

/** Fills in the defaults. @throws {UsageError} naming the limit that is not a positive number or above its greatest. */
export function resolveLimits(given: Partial<SignalingLimits> = {}): SignalingLimits {
  const limits = { ...DEFAULT_LIMITS, ...given };
  for (const key of Object.keys(DEFAULT_LIMITS)) {
    const name = key as keyof SignalingLimits; // the keys of DEFAULT_LIMITS are exactly these
    const value = limits[name];
    const greatest = GREATEST[name] ?? Number.POSITIVE_INFINITY;
    if (!(value > 0) || value > greatest) {
      throw new UsageError(`${name} is ${value}: it must be above 0 and at most ${greatest}`);
    }
  }
  return limits;
}
