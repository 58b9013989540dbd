import { closeSync, openSync, writeSync } from 'node:fs';
import { parseIp } from '../core/index.ts';

/** LINKTYPE_RAW: packets begin with their IPv4 or IPv6 header. */
const LINKTYPE_RAW = 101;
const UDP_HEADER_BYTES = 8;
const UDP = 17;

/** A capture: `onDatagram` fits `purertc.onDatagram` of RTCPeerConnection, and one capture takes those of many connections. */
export interface PcapWriter {
  /**
   * @param local - `ip:port` or `[ip]:port`, as all of purertc writes addresses; likewise `remote`.
   * @param at - on the clock of `performance.now()`.
   * @throws {TypeError} for an address that is none.
   */
  readonly onDatagram: (direction: 'in' | 'out', bytes: Uint8Array, local: string, remote: string, at: number) => void;
  /** Ends the file; later datagrams are ignored. Idempotent. */
  close(): void;
}

/**
 * Writes datagrams to a file that Wireshark and tcpdump read (pcap 2.4, microseconds), in IP and UDP headers made for
 * them. Each is in the file when the call returns, so that a crash loses nothing: for finding faults, not for fast paths.
 * What travels over TCP to a TURN server is written as if it had come by UDP.
 * @throws with the system's reason when the file cannot be made.
 *
 * @example
 * const pcap = openPcap('call.pcap');
 * const keys = createWriteStream('call.keys');
 * const purertc = { onDatagram: pcap.onDatagram, dtls: { keyLog: (line) => keys.write(`${line}\n`) } };
 * const pc = new RTCPeerConnection({ purertc });
 * // wireshark -r call.pcap -o tls.keylog_file:call.keys
 */
export function openPcap(path: string): PcapWriter {
  let file: number | undefined = openSync(path, 'w');
  writeSync(file, pcapHeader());
  const originMs = Date.now() - performance.now();
  return {
    onDatagram(direction, bytes, local, remote, at) {
      if (file === undefined) return;
      const [from, to] = direction === 'out' ? [local, remote] : [remote, local];
      writeSync(file, pcapRecord(udpPacket(from, to, bytes), originMs + at));
    },
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
}

/** The 24 bytes at the beginning of a pcap file, little-endian. */
export function pcapHeader(): Uint8Array {
  const view = new DataView(new ArrayBuffer(24));
  view.setUint32(0, 0xa1b2_c3d4, true); // times are in microseconds
  view.setUint16(4, 2, true);
  view.setUint16(6, 4, true);
  view.setUint32(16, 0xffff, true); // no packet is cut
  view.setUint32(20, LINKTYPE_RAW, true);
  return new Uint8Array(view.buffer);
}

/** One packet with its 16 bytes of header. @param atMs - milliseconds since 1970. */
export function pcapRecord(packet: Uint8Array, atMs: number): Uint8Array {
  const record = new Uint8Array(16 + packet.length);
  const view = new DataView(record.buffer);
  view.setUint32(0, Math.floor(atMs / 1000), true);
  view.setUint32(4, Math.floor((atMs % 1000) * 1000), true);
  view.setUint32(8, packet.length, true);
  view.setUint32(12, packet.length, true);
  record.set(packet, 16);
  return record;
}

/** IP and UDP around a payload, with checksums (RFC 791 §3.1, RFC 8200 §3, RFC 768). */
export function udpPacket(from: string, to: string, payload: Uint8Array): Uint8Array {
  const source = readAddress(from);
  const target = readAddress(to);
  if (source.ip.length !== target.ip.length) throw new TypeError(`${from} and ${to} are of different families`);
  const ipHeader = source.ip.length === 4 ? 20 : 40;
  const udpLength = UDP_HEADER_BYTES + payload.length;
  const packet = new Uint8Array(ipHeader + udpLength);
  const view = new DataView(packet.buffer);
  if (ipHeader === 20) {
    view.setUint16(0, 0x4500);
    view.setUint16(2, packet.length);
    view.setUint16(6, 0x4000); // not fragmented, and not to be
    view.setUint16(8, (64 << 8) | UDP);
  } else {
    view.setUint16(0, 0x6000);
    view.setUint16(4, udpLength);
    view.setUint16(6, (UDP << 8) | 64);
  }
  const addresses = ipHeader - 2 * source.ip.length;
  packet.set(source.ip, addresses);
  packet.set(target.ip, addresses + source.ip.length);
  if (ipHeader === 20) view.setUint16(10, ~fold(sum(view, 0, 20)));
  view.setUint16(ipHeader, source.port);
  view.setUint16(ipHeader + 2, target.port);
  view.setUint16(ipHeader + 4, udpLength);
  packet.set(payload, ipHeader + UDP_HEADER_BYTES);
  // The pseudo header: both addresses, the protocol and the length of the UDP part.
  const total = fold(sum(view, addresses, packet.length) + UDP + udpLength);
  view.setUint16(ipHeader + 6, total === 0xffff ? 0xffff : ~total); // RFC 768: zero is written as all ones
  return packet;
}

function readAddress(text: string): { readonly ip: Uint8Array; readonly port: number } {
  const [, inBrackets, plain, port] = /^(?:\[([^\]%]*)(?:%[^\]]*)?\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const ip = parseIp(inBrackets ?? plain ?? '');
  if (ip === undefined || port === undefined) throw new TypeError(`'${text}' is not an address and a port`);
  return { ip, port: Number(port) };
}

/** The 16-bit words of [start, end), an odd byte padded with zero; at most 2^32 for 64 KiB. */
function sum(view: DataView, start: number, end: number): number {
  let total = 0;
  for (let i = start; i + 1 < end; i += 2) total += view.getUint16(i);
  if ((end - start) % 2 === 1) total += view.getUint8(end - 1) << 8;
  return total;
}

/** The ones' complement sum (RFC 1071 §1). */
function fold(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded % 0x1_0000) + Math.floor(folded / 0x1_0000);
  return folded;
}
