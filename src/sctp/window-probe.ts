import type { Instant } from '../core/index.ts';
import { CHUNK_STATE, type Outstanding } from './outstanding.ts';
import type { RttEstimator } from './rtt.ts';

/**
 * The chunk that goes out as a zero-window probe (RFC 9260 §6.1 A). A peer without room drops it and T3-rtx repeats it,
 * less and less often, up to a minute apart. When the peer has room again nothing else would tell that the chunk is not on
 * its way: it waits for no timer then.
 */
export class WindowProbe {
  #tsn = -1;

  /** @param peerWindow - the peer's a_rwnd, which `tsn`, sent with nothing else in flight, exceeds or not. */
  noteSent(outstanding: Outstanding, tsn: number, peerWindow: number): void {
    if (outstanding.unackedBytes > peerWindow) this.#tsn = tsn;
  }

  /**
   * Call after every SACK.
   * @returns true when the chunk was taken for lost, because a peer that says it has room cannot have it.
   */
  handleSack(outstanding: Outstanding, peerWindow: number, rtt: RttEstimator, now: Instant): boolean {
    const tsn = this.#tsn;
    if (tsn < 0) return false;
    if (outstanding.state(tsn) === CHUNK_STATE.IN_FLIGHT) {
      if (outstanding.unackedBytes > peerWindow) return false;
      // Too early to be an answer to it: it will find the window open.
      if (rtt.smoothedMs !== undefined && now - outstanding.sentAt(tsn) < rtt.minMs) return false;
      outstanding.markLost(tsn);
    }
    this.#tsn = -1;
    // Every probe was answered: the timeouts told of the window, not of the path.
    rtt.forgetBackOff();
    return true;
  }
}
