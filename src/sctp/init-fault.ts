import { LEAST_OFFERED_WINDOW_BYTES } from './limits.ts';
import { type ErrorCause, missingMandatoryParameter, textCause } from './wire/causes.ts';
import type { InitChunk } from './wire/init.ts';
import { CAUSE, PARAMETER } from './wire/registry.ts';
import { padded, TLV_HEADER_BYTES } from './wire/tlv.ts';

const NOTHING = new Uint8Array(0);

/**
 * Why an association cannot come of an INIT (RFC 9260 §3.3.2): no streams in a direction, less window than a packet
 * takes, or a host name (§3.3.2.1.4). Its initiate tag is another matter: with tag 0 it is dropped in silence.
 * @returns the cause to abort with; undefined when there is none.
 */
export function initFault(init: InitChunk): ErrorCause | undefined {
  const { outboundStreams, inboundStreams, aRwnd } = init;
  if (outboundStreams === 0 || inboundStreams === 0 || aRwnd < LEAST_OFFERED_WINDOW_BYTES)
    return { type: CAUSE.INVALID_MANDATORY_PARAMETER, value: NOTHING };
  return init.parameters.hostName === true ? { type: CAUSE.UNRESOLVABLE_ADDRESS, value: NOTHING } : undefined;
}

/**
 * The same of an INIT ACK (RFC 9260 §3.3.3), which must have a tag besides, and a cookie that can be echoed.
 * @param maxChunkBytes - the longest chunk that a packet of ours has room for: a COOKIE ECHO cannot be cut.
 */
export function initAckFault(ack: InitChunk, maxChunkBytes: number): ErrorCause | undefined {
  const { cookie } = ack.parameters;
  if (cookie === undefined) return missingMandatoryParameter(PARAMETER.STATE_COOKIE);
  if (padded(TLV_HEADER_BYTES + cookie.length) > maxChunkBytes) return { type: CAUSE.OUT_OF_RESOURCE, value: NOTHING };
  return initFault(ack) ?? (ack.initiateTag === 0 ? textCause(CAUSE.PROTOCOL_VIOLATION, 'initiate tag 0') : undefined);
}
