/** The Transmission Control Block of RFC 9260 §1.3: what both sides agreed on when the association came up. */
export interface Tcb {
  /** The Verification Tag in packets to us. */
  readonly localTag: number;
  /** The Verification Tag in packets to the peer. */
  readonly peerTag: number;
  /** Random numbers that a cookie made while this TCB exists carries, to recognize a restart (RFC 9260 §5.2.2). */
  readonly localTieTag: number;
  readonly peerTieTag: number;
  readonly localInitialTsn: number;
  readonly peerInitialTsn: number;
  readonly peerRwnd: number;
  readonly outboundStreams: number;
  readonly inboundStreams: number;
  readonly extensions: Extensions;
}

/** What both sides support. */
export interface Extensions {
  /** RFC 3758. */
  readonly forwardTsn: boolean;
  /** RFC 6525. */
  readonly reConfig: boolean;
  /** I-DATA instead of DATA (RFC 8260). */
  readonly interleaving: boolean;
  /** The peer accepts a zero checksum (RFC 9653). */
  readonly zeroChecksum: boolean;
}
