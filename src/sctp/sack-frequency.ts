import { MAX_BURST_PACKETS, SACK_ASK_PACKETS, SACK_BATCH_PACKETS, SACK_EVERY_PACKETS } from './limits.ts';

/** Without an I bit in so many packets the sender is one that does not ask. */
const FORGET_PACKETS = 4 * SACK_ASK_PACKETS;

/**
 * How many packets one SACK may cover. RFC 9260 §6.2 asks for one at least every second packet, and not only for the round trip's sake: a
 * sender that keeps to Max.Burst (§6.1 D: browsers, usrsctp) sends four packets for each SACK, so that one SACK for a batch of
 * four never lets more than four be in flight. But a SACK costs both ends as much as a packet of data, and a sender without that
 * limit would rather have fewer. It shows by the I bit (RFC 7053 §5.1), set on a packet now and then while it has many in flight: who asks for
 * SACKs more than Max.Burst packets apart gets what it asks for, and one for each batch besides.
 */
export class SackFrequency {
  #sinceAsked = 0;
  #senderAsks = false;

  /** A packet with DATA came. @param asked - some of it had the I bit. */
  notePacket(asked: boolean): void {
    if (asked) {
      if (this.#sinceAsked > MAX_BURST_PACKETS) this.#senderAsks = true;
      this.#sinceAsked = 0;
    } else if (++this.#sinceAsked > FORGET_PACKETS) this.#senderAsks = false;
  }

  /** Packets after which a SACK leaves at once. */
  get packets(): number {
    return this.#senderAsks ? SACK_BATCH_PACKETS : SACK_EVERY_PACKETS;
  }
}
