import type { SctpState } from './types.ts';

/**
 * The state diagram of RFC 9260 §4 as data; a move that is not listed is a fault of ours. Every state may end in `closed`
 * (ABORT, retransmission limit). `cookie-wait` to `established` is action B of §5.2.4, the way back from `cookie-echoed`
 * is §5.2.6, and the moves back to `established` are action A, a restarted peer.
 */
export const MOVES: Readonly<Record<SctpState, readonly SctpState[]>> = {
  closed: ['cookie-wait', 'established'],
  'cookie-wait': ['cookie-echoed', 'established', 'closed'],
  'cookie-echoed': ['established', 'cookie-wait', 'closed'],
  established: ['shutdown-pending', 'shutdown-received', 'closed'],
  'shutdown-pending': ['shutdown-sent', 'shutdown-received', 'established', 'closed'],
  'shutdown-sent': ['shutdown-received', 'established', 'closed'],
  'shutdown-received': ['shutdown-ack-sent', 'established', 'closed'],
  'shutdown-ack-sent': ['closed'],
};
