import { bytesToHex, type Deadline, EMPTY, type FiveTuple, formatAddress, type Instant } from '../core/index.ts';
import { PeerAddress } from './peer-address.ts';
import { CLIENT_HELLO, CONTENT_HANDSHAKE } from './registry.ts';
import type { DtlsServer } from './server.ts';

/** A number that stands for one association, never used again. */
export type DtlsConnectionId = number;

/** One client of a listener. */
export class Association implements Deadline {
  readonly id: DtlsConnectionId;
  readonly server: DtlsServer;
  readonly address: PeerAddress;
  /** Its connection ID, hexadecimal; empty: none. */
  readonly cid: string;
  lastHeardAt: Instant;
  /** It stands in the queue of those that may have datagrams, or events. */
  sending = false;
  reporting = false;
  at: Instant;
  order = 0;
  heapIndex = -1;

  constructor(id: DtlsConnectionId, server: DtlsServer, path: FiveTuple, now: Instant) {
    this.id = id;
    this.server = server;
    this.address = new PeerAddress(path, pathKey(path));
    const cid = server.ownConnectionId;
    this.cid = cid.length > 0 ? bytesToHex(cid) : '';
    this.lastHeardAt = now;
    this.at = now;
  }

  get isOver(): boolean {
    return this.server.state === 'closed' || this.server.state === 'failed';
  }
}

/** Two datagrams took the same path when this is the same. */
export function pathKey(path: FiveTuple): string {
  return `${formatAddress(path.local)} ${formatAddress(path.remote)}`;
}

/** The random of a ClientHello that lies in the datagram from its beginning; empty for a later fragment. */
export function helloRandom(bytes: Uint8Array): Uint8Array {
  const first = bytes[19] === 0 && bytes[20] === 0 && bytes[21] === 0;
  return first ? bytes.subarray(27, 59) : EMPTY;
}

/** The datagram begins with a plaintext record that begins with (a fragment of) a ClientHello. */
export function isClientHello(bytes: Uint8Array): boolean {
  return (
    bytes.length > 13 &&
    bytes[0] === CONTENT_HANDSHAKE &&
    bytes[1] === 0xfe &&
    bytes[3] === 0 &&
    bytes[4] === 0 &&
    bytes[13] === CLIENT_HELLO
  );
}
