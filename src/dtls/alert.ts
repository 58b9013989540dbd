import { type ByteReader, type ByteWriter, DecodeError, type DropReason } from '../core/index.ts';

/** Alert descriptions by their names in RFC 5246 §7.2, RFC 6066 §9, RFC 4279 §6 and RFC 7301 §3.2. */
export const ALERT_CODES = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  user_canceled: 90,
  no_renegotiation: 100,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  unknown_psk_identity: 115,
  certificate_required: 116,
  no_application_protocol: 120,
} as const;

export type AlertDescription = keyof typeof ALERT_CODES;
export type AlertLevel = 'warning' | 'fatal';

const NAMES = new Map<number, AlertDescription>(
  (Object.keys(ALERT_CODES) as AlertDescription[]).map((name) => [ALERT_CODES[name], name]),
);

/**
 * An alert as it came: the description may be one that this table does not know.
 *
 * ```text
 *  0               1
 * +---------------+---------------+
 * |     level     |  description  |
 * +---------------+---------------+
 * ```
 */
export interface Alert {
  readonly level: AlertLevel;
  readonly code: number;
}

export function alertName(code: number): AlertDescription | undefined {
  return NAMES.get(code);
}

/** RFC 5246 §7.2. @throws {DecodeError} `bad-value` for a level that is neither 1 nor 2; `too-short`; `trailing-bytes`. */
export function readAlert(r: ByteReader): Alert {
  const at = r.pos;
  const level = r.u8('level');
  if (level !== 1 && level !== 2) throw new DecodeError('bad-value', 'level', at);
  const code = r.u8('description');
  r.expectEnd('alert');
  return { level: level === 1 ? 'warning' : 'fatal', code };
}

/** Inverse of {@link readAlert}. */
export function writeAlert(w: ByteWriter, alert: Alert): void {
  w.u8(alert.level === 'warning' ? 1 : 2);
  w.u8(alert.code);
}

/**
 * The peer broke the handshake: the connection ends with this alert. Thrown by the handshake, caught by the connection's
 * `handleInput`; never seen by callers.
 */
export class HandshakeFault extends Error {
  override readonly name = 'HandshakeFault';
  readonly alert: AlertDescription;
  /** How the drop is counted. */
  readonly reason: DropReason;

  constructor(alert: AlertDescription, reason: DropReason, message: string) {
    super(message);
    this.alert = alert;
    this.reason = reason;
  }
}

/**
 * The alert for a message that does not decode (RFC 5246 §7.2.2): `illegal_parameter` for a field "out of range or
 * inconsistent with other fields", `protocol_version` for a version, and `decode_error` for everything about lengths.
 */
export function alertForDecodeError(error: DecodeError): AlertDescription {
  switch (error.reason) {
    case 'bad-value':
    case 'duplicate':
    case 'bad-order':
      return 'illegal_parameter';
    case 'bad-version':
      return 'protocol_version';
    default:
      return 'decode_error';
  }
}
