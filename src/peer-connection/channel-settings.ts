import { utf8 } from '../core/index.ts';
import type { ChannelOptions } from '../datachannel/index.ts';
import { dictionary, enforceRange, member, usvString } from './web-idl.ts';

/** W3C RTCDataChannelInit. */
export interface RTCDataChannelInit {
  ordered?: boolean;
  maxPacketLifeTime?: number;
  maxRetransmits?: number;
  protocol?: string;
  negotiated?: boolean;
  id?: number;
}

/** The parameters of a channel, checked. */
export interface ChannelSettings {
  readonly label: string;
  readonly protocol: string;
  readonly ordered: boolean;
  readonly maxPacketLifeTime: number | null;
  readonly maxRetransmits: number | null;
  readonly negotiated: boolean;
  readonly id: number | null;
}

/** RFC 8832 §5.1: the lengths of label and protocol have 16 bits. */
const MAX_NAME_BYTES = 65_535;
/** RFC 8832 §5.1: 65,535 is not a stream that a channel may have. */
const RESERVED_ID = 65_535;

/**
 * W3C §6.1.1.2 `createDataChannel`, steps 4 to 14.
 * @throws {TypeError} what those steps refuse.
 */
export function readChannelSettings(label: unknown, init: unknown): ChannelSettings {
  const given = dictionary(init, 'RTCDataChannelInit');
  const optional = (name: string): number | null =>
    member(given, name, (value) => enforceRange(value, 0xffff, name), null);
  const negotiated = member(given, 'negotiated', Boolean, false);
  const id = optional('id');
  const settings: ChannelSettings = {
    label: usvString(label),
    protocol: member(given, 'protocol', usvString, ''),
    ordered: member(given, 'ordered', Boolean, true),
    maxPacketLifeTime: optional('maxPacketLifeTime'),
    maxRetransmits: optional('maxRetransmits'),
    negotiated,
    id: negotiated ? id : null, // step 11: in-band channels get theirs from RFC 8832 §6
  };
  if (utf8(settings.label).length > MAX_NAME_BYTES) throw new TypeError('label is longer than 65535 bytes');
  if (utf8(settings.protocol).length > MAX_NAME_BYTES) throw new TypeError('protocol is longer than 65535 bytes');
  if (negotiated && id === null) throw new TypeError('a negotiated channel needs an id');
  if (settings.maxPacketLifeTime !== null && settings.maxRetransmits !== null) {
    throw new TypeError('maxPacketLifeTime and maxRetransmits exclude each other');
  }
  if (settings.id === RESERVED_ID) throw new TypeError('id 65535 is reserved');
  return settings;
}

/** The same parameters for the transport. */
export function toChannelOptions(settings: ChannelSettings): ChannelOptions {
  return {
    label: settings.label,
    protocol: settings.protocol,
    ordered: settings.ordered,
    maxPacketLifeTime: settings.maxPacketLifeTime ?? undefined,
    maxRetransmits: settings.maxRetransmits ?? undefined,
    negotiated: settings.negotiated,
    id: settings.id ?? undefined,
  };
}
