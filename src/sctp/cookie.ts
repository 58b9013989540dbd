import { ByteReader, ByteWriter, type CryptoBackend, DecodeError, type Instant, type Mac } from '../core/index.ts';
import { COOKIE_LIFE_MS } from './limits.ts';
import type { Tcb } from './tcb.ts';

/**
 * State Cookies (RFC 9260 §5.1.3): the whole TCB travels to the peer and back, so that an INIT costs us no state. Signed
 * with a key that never leaves this association, and valid for one minute.
 *
 * ```text
 *  | MAC (32) | created (8) | local tag | peer tag | local tie tag | peer tie tag | local TSN | peer TSN | peer a_rwnd |
 *  | outbound streams (16) | inbound streams (16) | extensions (32) |
 * ```
 */
const MAC_BYTES = 32;
const BODY_BYTES = 8 + 7 * 4 + 2 * 2 + 4;
const COOKIE_BYTES = MAC_BYTES + BODY_BYTES;

/** What became of a cookie that was shown to us. */
export type CookieCheck =
  | { readonly result: 'valid'; readonly tcb: Tcb; readonly ageMs: number }
  /** Authentic but too old; `staleMs` by how much. */
  | { readonly result: 'stale'; readonly tcb: Tcb; readonly staleMs: number }
  | { readonly result: 'forged' };

/** Makes and checks the cookies of one association. */
export class CookieJar {
  readonly #mac: Mac;

  /** @param secret - 32 random bytes. */
  constructor(crypto: CryptoBackend, secret: Uint8Array) {
    this.#mac = crypto.createMac('sha-256', secret);
  }

  make(tcb: Tcb, now: Instant): Uint8Array {
    const w = new ByteWriter(new Uint8Array(COOKIE_BYTES), MAC_BYTES);
    w.u64(BigInt(Math.floor(now * 1000))); // microseconds: the cookie's way there and back is a round trip
    w.u32(tcb.localTag);
    w.u32(tcb.peerTag);
    w.u32(tcb.localTieTag);
    w.u32(tcb.peerTieTag);
    w.u32(tcb.localInitialTsn);
    w.u32(tcb.peerInitialTsn);
    w.u32(tcb.peerRwnd);
    w.u16(tcb.outboundStreams);
    w.u16(tcb.inboundStreams);
    const e = tcb.extensions;
    w.u32((e.forwardTsn ? 1 : 0) | (e.reConfig ? 2 : 0) | (e.interleaving ? 4 : 0) | (e.zeroChecksum ? 8 : 0));
    w.buf.set(this.#mac.sign(w.written()), 0);
    return w.buf;
  }

  /** RFC 9260 §5.1.5 steps 1 to 3. */
  check(cookie: Uint8Array, now: Instant): CookieCheck {
    if (cookie.length !== COOKIE_BYTES) return { result: 'forged' };
    const expected = this.#mac.sign(cookie.subarray(MAC_BYTES));
    let difference = 0; // constant time: a MAC is compared
    for (let i = 0; i < MAC_BYTES; i++) difference |= cookie[i]! ^ expected[i]!;
    if (difference !== 0) return { result: 'forged' };
    const r = new ByteReader(cookie, MAC_BYTES);
    const ageMs = now - Number(r.u64('created')) / 1000;
    const tcb = readTcb(r);
    const staleMs = ageMs - COOKIE_LIFE_MS;
    return staleMs > 0 ? { result: 'stale', tcb, staleMs } : { result: 'valid', tcb, ageMs };
  }
}

function readTcb(r: ByteReader): Tcb {
  const tcb = {
    localTag: r.u32('local-tag'),
    peerTag: r.u32('peer-tag'),
    localTieTag: r.u32('local-tie-tag'),
    peerTieTag: r.u32('peer-tie-tag'),
    localInitialTsn: r.u32('local-tsn'),
    peerInitialTsn: r.u32('peer-tsn'),
    peerRwnd: r.u32('a_rwnd'),
    outboundStreams: r.u16('outbound'),
    inboundStreams: r.u16('inbound'),
  };
  const bits = r.u32('extensions');
  r.expectEnd('cookie');
  if (bits > 15) throw new DecodeError('bad-value', 'extensions', 0);
  return {
    extensions: {
      forwardTsn: (bits & 1) !== 0,
      reConfig: (bits & 2) !== 0,
      interleaving: (bits & 4) !== 0,
      zeroChecksum: (bits & 8) !== 0,
    },
    ...tcb,
  };
}
