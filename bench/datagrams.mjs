/** What a datagram of a WebRTC path is, from what can be read without keys (RFC 7983 §7), and the round trips it takes part in. */

const STUN_TYPES = { 1: 'check', 257: 'check answered', 273: 'check refused', 17: 'indication' };
const USE_CANDIDATE = 0x0025;
/** RFC 6347 §4.3.2. */
const HANDSHAKE_TYPES = {
  1: 'ClientHello',
  2: 'ServerHello',
  3: 'HelloVerifyRequest',
  4: 'NewSessionTicket',
  11: 'Certificate',
  12: 'ServerKeyExchange',
  13: 'CertificateRequest',
  14: 'ServerHelloDone',
  15: 'CertificateVerify',
  16: 'ClientKeyExchange',
};

export function describeDatagram(bytes) {
  const [first] = bytes;
  if (first < 4 && bytes.length >= 20) return `STUN: ${describeStun(bytes)}`;
  if (first >= 20 && first <= 63) return describeRecords(bytes);
  return 'other';
}

function describeStun(bytes) {
  const type = bytes.readUInt16BE(0);
  const name = STUN_TYPES[type] ?? `0x${type.toString(16)}`;
  for (let at = 20; at + 4 <= bytes.length; at += 4 + ((bytes.readUInt16BE(at + 2) + 3) & ~3)) {
    if (bytes.readUInt16BE(at) === USE_CANDIDATE) return `${name}, nominating`;
  }
  return name;
}

function describeRecords(bytes) {
  const parts = [];
  for (let at = 0; at + 13 <= bytes.length; at += 13 + bytes.readUInt16BE(at + 11)) {
    const encrypted = bytes.readUInt16BE(at + 3) > 0;
    const part = describeRecord(bytes[at], encrypted, bytes[at + 13]);
    if (parts.at(-1) !== part) parts.push(part);
  }
  return parts.every((part) => part === 'SCTP') ? 'SCTP' : `DTLS: ${parts.join(', ')}`;
}

function describeRecord(type, encrypted, firstByte) {
  if (type === 20) return 'ChangeCipherSpec';
  if (type === 21) return 'alert';
  if (type === 23) return 'SCTP';
  return encrypted ? 'Finished' : (HANDSHAKE_TYPES[firstByte] ?? 'handshake');
}

/**
 * One line for every time that one side had waited for the other: what came together, at which round trip.
 * @param entries - of `Emulator.log`.
 */
export function summarize(entries, rttMs) {
  const flights = [];
  for (const { atMs, direction, what } of entries) {
    const last = flights.findLast((flight) => flight.direction === direction);
    if (last !== undefined && atMs - last.lastAtMs < rttMs / 8) {
      if (last.parts.at(-1) !== what) last.parts.push(what);
      last.lastAtMs = atMs;
    } else {
      flights.push({ direction, atMs, lastAtMs: atMs, parts: [what] });
    }
  }
  const firstMs = flights[0]?.atMs ?? 0;
  return flights.map(
    ({ direction, atMs, parts }) =>
      `${((atMs - firstMs) / rttMs).toFixed(2)} round trips ${direction} ${parts.join('; ')}`,
  );
}
