import type { Instant, SansIo, TransmitSlot } from '../core/index.ts';

/**
 * A core that knows no paths (DTLS, `P = void`), tied to one: so that it runs on a shell for cores that do. Datagrams from
 * elsewhere are not its business and are ignored.
 *
 * @example
 * const client = new DtlsClient({ env, verifyPeer });
 * const path = { protocol: 'udp', local, remote } as const;
 * const shell = new UdpShell({ core: new OnPath(client, path), onEvent });
 */
export class OnPath<E, P> implements SansIo<E, P> {
  readonly path: P;
  readonly #core: SansIo<E, undefined>;
  readonly #isMine: (path: P) => boolean;

  /** @param isMine - whether a datagram's path is this one; by default they must be the same object. */
  constructor(core: SansIo<E>, path: P, isMine: (path: P) => boolean = (other) => other === path) {
    this.path = path;
    this.#core = core;
    this.#isMine = isMine;
  }

  handleInput(bytes: Uint8Array, path: P, now: Instant): void {
    if (this.#isMine(path)) this.#core.handleInput(bytes, undefined, now);
  }

  handleTimeout(now: Instant): void {
    this.#core.handleTimeout(now);
  }

  pollTransmit(slot: TransmitSlot<P>, now: Instant): boolean {
    const inner: TransmitSlot<undefined> = { buffer: slot.buffer, offset: slot.offset, length: 0, path: undefined };
    if (!this.#core.pollTransmit(inner, now)) return false;
    slot.offset = inner.offset;
    slot.length = inner.length;
    slot.path = this.path;
    return true;
  }

  pollEvent(): E | undefined {
    return this.#core.pollEvent();
  }

  nextTimeout(): Instant {
    return this.#core.nextTimeout();
  }
}
