import {
  type DropReason,
  type Env,
  type FiveTuple,
  formatAddress,
  type Instant,
  Ring,
  type TransmitSlot,
  utf8,
} from '../core/index.ts';
import { CookieJar } from './cookie.ts';
import { DtlsServer } from './server.ts';
import type { DtlsServerOptions } from './types.ts';

/** ClientHellos whose first fragment does not reach to the cookie, that are put together at one time. */
export const MAX_FRAGMENTED_HELLOS = 64;

export interface HelloDeskOptions {
  readonly env: Env;
  readonly connectionIdBytes: number;
  /** Options for a client that says hello; undefined refuses it silently. */
  readonly accept: (path: FiveTuple) => DtlsServerOptions | undefined;
  readonly drop: (reason: DropReason, detail: string) => void;
}

/**
 * Where clients without an association say hello (RFC 6347 §4.2.1). Each ClientHello is read by a server made for it, which
 * answers with HelloVerifyRequest and is forgotten, unless the cookie is right. Of a hello in fragments the first is enough for both;
 * only those cut so small that it is not are remembered, and they keep nobody else out.
 */
export class HelloDesk {
  readonly #options: HelloDeskOptions;
  readonly #cookies: CookieJar;
  /** Servers without state that hold fragments of a ClientHello; the oldest goes first. */
  readonly #fragmented = new Map<string, DtlsServer>();
  /** HelloVerifyRequests, ready to leave. */
  readonly #answers = new Ring<{ readonly server: DtlsServer; readonly path: FiveTuple }>();

  constructor(options: HelloDeskOptions) {
    this.#options = options;
    this.#cookies = new CookieJar(options.env);
  }

  /** A hello of this path is there in part. */
  holds(key: string): boolean {
    return this.#fragmented.has(key);
  }

  /**
   * @returns the server whose cookie came back; it has read the hello, or the beginning of it.
   */
  handleHello(bytes: Uint8Array, path: FiveTuple, key: string, now: Instant): DtlsServer | undefined {
    const server = this.#fragmented.get(key) ?? this.#newServer(path);
    return server && this.#tryHello(server, bytes, path, key, now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    for (let answer = this.#answers.peek(); answer !== undefined; answer = this.#answers.peek()) {
      if (answer.server.pollTransmit(slot, now)) {
        slot.path = answer.path;
        return true;
      }
      this.#answers.shift();
    }
    return false;
  }

  #newServer(path: FiveTuple): DtlsServer | undefined {
    const { env, connectionIdBytes } = this.#options;
    const options = this.#options.accept(path);
    if (options === undefined) return undefined;
    const connectionId = new Uint8Array(connectionIdBytes);
    env.random(connectionId);
    return new DtlsServer({
      ...options,
      env,
      cookies: this.#cookies,
      cookieExchange: true,
      clientIdentity: utf8(formatAddress(path.remote)),
      ...(connectionIdBytes === 0 ? {} : { connectionId }),
    });
  }

  #tryHello(server: DtlsServer, bytes: Uint8Array, path: FiveTuple, key: string, now: Instant): DtlsServer | undefined {
    server.handleInput(bytes, undefined, now);
    this.#fragmented.delete(key);
    if (server.state !== 'new') return server;
    this.#answers.push({ server, path });
    if (server.holdsFragments) {
      if (this.#fragmented.size >= MAX_FRAGMENTED_HELLOS) {
        const oldest = this.#fragmented.keys().next();
        if (!oldest.done) this.#fragmented.delete(oldest.value);
        this.#options.drop('limit', 'fragmented ClientHello');
      }
      this.#fragmented.set(key, server);
    }
    return undefined;
  }
}
