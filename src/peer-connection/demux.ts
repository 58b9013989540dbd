/** What the first byte of a datagram says it is. */
export type PacketKind = 'stun' | 'zrtp' | 'dtls' | 'turn-channel' | 'rtp' | 'unknown';

/**
 * Which protocol a datagram belongs to, by its first byte (RFC 7983 §7):
 *
 * ```text
 *               +----------------+
 *               |        [0..3] -+--> forward to STUN
 *               |      [16..19] -+--> forward to ZRTP
 *   packet -->  |      [20..63] -+--> forward to DTLS
 *               |      [64..79] -+--> forward to TURN Channel
 *               |    [128..191] -+--> forward to RTP/RTCP
 *               +----------------+
 * ```
 *
 * @param bytes - one whole datagram; an empty one is `unknown`.
 */
export function classifyPacket(bytes: Uint8Array): PacketKind {
  const first = bytes[0];
  if (first === undefined) return 'unknown';
  if (first >= 20 && first <= 63) return 'dtls'; // by far the most frequent
  if (first <= 3) return 'stun';
  if (first >= 128 && first <= 191) return 'rtp';
  if (first >= 64 && first <= 79) return 'turn-channel';
  if (first >= 16 && first <= 19) return 'zrtp';
  return 'unknown';
}
