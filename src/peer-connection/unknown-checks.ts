import type { FiveTuple, Platform } from '../core/index.ts';
import type { UnknownUfragListener } from '../ice/index.ts';
import { decodeStun, IntegrityKey, integrityAlgorithm, shortTermKey, verifyIntegrity } from '../stun/index.ts';

/** Checks for ufrags that nobody has, told to the application in one second; more are dropped. */
export const MAX_UNKNOWN_CHECKS_PER_SECOND = 100;

/** A connectivity check (RFC 8445 §7.1) for a ufrag that no connection of the mux has. Nothing in it is proved. */
export interface UnknownCheck {
  /** The ufrag in front of the colon of USERNAME: whom it is for. */
  readonly ufrag: string;
  /** The one behind it: the sender's. */
  readonly remoteUfrag: string;
  /** Where it came in, and from where it claims to come: over UDP anybody can write any address. */
  readonly path: FiveTuple;
  /** Whether its sender knows this password, by MESSAGE-INTEGRITY. Costs an HMAC. */
  isProtectedBy(password: string): boolean;
}

export interface MuxOptions {
  /**
   * Called, in a task of its own, for a check to a ufrag that no connection has: a server that can know the password (that
   * of libp2p's webrtc-direct is the ufrag itself) makes the connection now, and one of the next repetitions of the check
   * reaches it. The mux remembers nothing of it, so that it is called for each repetition until the connection has its
   * sockets. At most {@link MAX_UNKNOWN_CHECKS_PER_SECOND} a second.
   */
  readonly onUnknownUfrag?: (check: UnknownCheck) => void;
}

/** As an `UnknownUfragListener`. @returns whether the application is told. */
type Tell = (...given: Parameters<UnknownUfragListener>) => boolean;

/** @returns what an `IceMux` calls; undefined where nobody listens. */
export function unknownUfragListener(
  platform: Platform,
  { onUnknownUfrag }: MuxOptions,
  onRefused: () => void,
): Tell | undefined {
  if (onUnknownUfrag === undefined) return undefined;
  let second = Number.NaN;
  let told = 0;
  return (username, request, path) => {
    // What no ICE agent would answer anyway (RFC 8445 §7.1, RFC 8489 §9.1.3).
    if (!request.hasFingerprint || integrityAlgorithm(request) === undefined) return false;
    const now = Math.floor(platform.now() / 1000);
    if (now !== second) told = 0;
    second = now;
    if (++told > MAX_UNKNOWN_CHECKS_PER_SECOND) {
      onRefused();
      return false;
    }
    const bytes = request.bytes.slice(); // the task runs when the datagram is gone
    const isProtectedBy = (password: string): boolean =>
      verifyIntegrity(decodeStun(bytes), new IntegrityKey(platform.env.crypto, shortTermKey(password)));
    platform.queueTask(() =>
      onUnknownUfrag({ ufrag: username.ours, remoteUfrag: username.theirs, path, isProtectedBy }),
    );
    return true;
  };
}
