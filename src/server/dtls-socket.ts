import {
  Driver,
  type DropCounters,
  EMPTY,
  type Env,
  formatAddress,
  type Instant,
  ipFamily,
  type Platform,
  sameAddress,
  type TransmitSlot,
  type TransportAddress,
  type UdpSocket,
  UsageError,
  utf8,
} from '../core/index.ts';
import {
  DtlsClient,
  type DtlsClientOptions,
  type DtlsEvent,
  type DtlsFailure,
  type DtlsSession,
  type DtlsState,
  type Negotiated,
} from '../dtls/index.ts';
import { platform as nodePlatform, WakeTimer } from '../io/index.ts';
import {
  defaultEnv,
  judgeOf,
  type OwnCertificate,
  ownCertificate,
  type PeerTrust,
  serverNameOf,
  systemAuthorities,
} from './dtls-identity.ts';

/** What the handshake options of both roles have instead of the core's own. */
export type ReplacedOptions = 'env' | 'certificate' | 'verifyPeer' | 'psk';

/** A handshake takes at most so long unless told otherwise. */
export const DEFAULT_CONNECT_TIMEOUT_MS = 30_000;

/**
 * Whom to trust comes from {@link PeerTrust} or `psk`; when nothing is said, the runtime's authorities decide, as with TLS. The
 * remaining options are those of `DtlsClient`.
 */
export interface DtlsSocketOptions extends PeerTrust, Omit<DtlsClientOptions, ReplacedOptions> {
  /** Name or IP address. The certificate must be for it (or for `serverName`) when authorities are asked. */
  readonly host: string;
  readonly port: number;
  /** Only addresses of this family; default: the first that the resolver gives. */
  readonly family?: 4 | 6;
  /** Own address and port to send from; default: any. */
  readonly local?: TransportAddress;
  /** Shown when the server asks for it. */
  readonly certificate?: OwnCertificate;
  readonly psk?: { readonly identity: string | Uint8Array; readonly key: Uint8Array };
  /** For the whole handshake, ms; default 30,000. */
  readonly timeoutMs?: number;
  /** Gives up connecting: `connect` rejects with its reason. */
  readonly signal?: AbortSignal;
  /** One record's worth, yours to keep. May be called before `connect` has told you that it is done. */
  readonly onMessage?: (bytes: Uint8Array, socket: DtlsSocket) => void;
  /** Once, after a successful `connect`: the connection is over. `error` is absent after close_notify from either side. */
  readonly onClose?: (error: DtlsError | undefined) => void;
  readonly platform?: Platform;
  readonly env?: Env;
}

/** A connection that failed, or never came to be. */
export class DtlsError extends Error {
  override readonly name = 'DtlsError';
  /** Which alert, and from whom; absent when it ended without one. */
  readonly failure: DtlsFailure | undefined;

  constructor(message: string, failure?: DtlsFailure) {
    super(message);
    this.failure = failure;
  }
}

/**
 * The client's end of DTLS over UDP, on a socket of its own: messages of up to 16 KiB, each whole or not at all, in any order.
 * It asks the server for a connection ID (RFC 9146), so that it outlives a change of its own address.
 *
 * @example
 * const socket = await DtlsSocket.connect({
 *   host: 'coap.example', port: 5684, ca: await readFile('ca.pem', 'utf8'),
 *   onMessage: (bytes) => console.log(bytes),
 * });
 * socket.send('hello');
 * socket.close();
 */
export class DtlsSocket {
  readonly remote: TransportAddress;
  readonly #options: DtlsSocketOptions;
  readonly #platform: Platform;
  readonly #dtls: DtlsClient;
  readonly #driver: Driver<DtlsEvent, void>;
  readonly #settled: Promise<void>;
  #resolve: () => void = () => undefined;
  #reject: (reason: unknown) => void = () => undefined;
  #udp: UdpSocket | undefined;
  #session: DtlsSession | undefined;
  #refusal: string | undefined;
  #connected = false;
  #closing = false;

  private constructor(options: DtlsSocketOptions, remote: TransportAddress) {
    this.#options = options;
    this.#platform = options.platform ?? nodePlatform;
    this.remote = remote;
    this.#settled = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#dtls = new DtlsClient(this.#clientOptions());
    const timer = new WakeTimer(this.#platform, () => this.#driver.wake());
    const host = {
      now: () => this.#platform.now(),
      send: (slot: TransmitSlot<void>) => this.#udp?.send(slot.buffer, slot.offset, slot.length, remote),
      wakeAt: (at: Instant) => timer.arm(at),
    };
    this.#driver = new Driver<DtlsEvent, void>(this.#dtls, host, (event) => this.#onEvent(event));
  }

  /**
   * Resolves the host, binds a socket and shakes hands.
   * @throws rejects with {@link DtlsError} when the handshake fails or takes too long, with the signal's reason, and with the
   *   system's error when the host has no address or the socket cannot be bound; with `UsageError` for options outside their range.
   */
  static async connect(options: DtlsSocketOptions): Promise<DtlsSocket> {
    const { signal } = options;
    signal?.throwIfAborted();
    const platform = options.platform ?? nodePlatform;
    const ips = await platform.resolve(options.host);
    const ip = ips.find((candidate) => (options.family ?? ipFamily(candidate)) === ipFamily(candidate));
    if (ip === undefined) {
      throw new DtlsError(
        `${options.host} has no ${options.family === undefined ? '' : `IPv${options.family} `}address`,
      );
    }
    const socket = new DtlsSocket(options, { ip, port: options.port });
    socket.#udp = await socket.#bind(options.local);
    const abort = () => socket.#giveUp(signal?.reason);
    const timeoutMs = options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS;
    const cancelTimer = platform.setTimer(platform.now() + timeoutMs, () =>
      socket.#giveUp(
        new DtlsError(`${formatAddress(socket.remote)} has not answered the handshake in ${timeoutMs} ms`),
      ),
    );
    signal?.addEventListener('abort', abort);
    try {
      if (signal?.aborted === true) abort();
      else socket.#driver.mutate((now) => socket.#dtls.start(now));
      await socket.#settled;
      return socket;
    } finally {
      cancelTimer();
      signal?.removeEventListener('abort', abort);
    }
  }

  /** What it is bound to; the IP address is a wildcard unless `local` said otherwise. */
  get local(): TransportAddress | undefined {
    return this.#udp?.local;
  }

  get state(): DtlsState {
    return this.#dtls.state;
  }

  /** What was agreed. */
  get negotiated(): Negotiated | undefined {
    return this.#dtls.negotiated;
  }

  /** The server's chain, DER, end-entity first; empty with a PSK. */
  get peerCertificates(): readonly Uint8Array[] {
    return this.#dtls.peerCertificates;
  }

  /** For the option `session` of a later connection to the same server. It holds a secret. */
  get session(): DtlsSession | undefined {
    return this.#session;
  }

  /** Input that was not acted on, by reason. */
  get drops(): DropCounters {
    return this.#dtls.drops;
  }

  /**
   * Sends one message, copied; a text as UTF-8. It may be lost. One that does not fit the path's MTU with about 40 bytes around it
   * travels in IP fragments, which many networks drop: 1,200 bytes are safe.
   * @returns false when the server is gone, as `onClose` tells: its last words may come together with its goodbye.
   * @throws {UsageError} not connected yet, after {@link close}, or longer than `negotiated.maxSendRecordBytes`.
   */
  send(message: Uint8Array | string): boolean {
    if (this.#connected && !this.#closing && this.#dtls.state !== 'connected') return false;
    const bytes = typeof message === 'string' ? utf8(message) : message;
    this.#driver.mutate((now) => this.#dtls.send(bytes, now));
    return true;
  }

  /** Keying material (RFC 5705 §4). @throws {UsageError} not connected, or a reserved label. */
  exportKeyingMaterial(label: string, context: Uint8Array | undefined, lengthBytes: number): Uint8Array {
    return this.#dtls.exportKeyingMaterial(label, context, lengthBytes);
  }

  /**
   * Goes on from a new socket, for example when the network has changed. The server notices with the next message, if it gave a
   * connection ID; `negotiated.sendConnectionId` tells.
   * @returns the new own address. @throws rejects with `UsageError` when not connected, and with the system's error.
   */
  async rebind(local?: TransportAddress): Promise<TransportAddress> {
    const udp = await this.#bind(local);
    if (this.#dtls.state !== 'connected') {
      udp.close();
      throw new UsageError(`cannot change the address: ${this.#dtls.state}`);
    }
    this.#udp?.close();
    this.#udp = udp;
    return udp.local;
  }

  /** Sends close_notify and closes the socket. Idempotent. */
  close(): void {
    this.#closing = true;
    this.#driver.mutate((now) => this.#dtls.close(now));
  }

  #bind(local?: TransportAddress): Promise<UdpSocket> {
    return this.#platform.bindUdp(local ?? { ip: ipFamily(this.remote.ip) === 4 ? '0.0.0.0' : '::', port: 0 }, {
      onDatagram: (bytes, remote) => {
        if (sameAddress(remote, this.remote)) this.#driver.input(bytes, undefined);
      },
      onError: () => undefined, // the handshake is sent again, and messages may be lost in any case
    });
  }

  #clientOptions(): DtlsClientOptions {
    const { host, serverName: asked, certificate, psk, verifyPeer: _, ...rest } = this.#options;
    const env = this.#options.env ?? this.#options.platform?.env ?? defaultEnv;
    const meant = asked ?? host;
    const serverName = serverNameOf(meant);
    let judge = judgeOf(env, this.#options, 'serverAuth', meant);
    // With a key of both sides there is nothing to judge: then certificate suites are not offered.
    if (judge === undefined && psk === undefined) {
      judge = judgeOf(env, { ca: systemAuthorities(this.#platform) }, 'serverAuth', meant);
    }
    const verifyPeer = (chain: readonly Uint8Array[]) => {
      const refusal = judge?.(chain);
      this.#refusal = refusal?.message;
      return refusal?.alert;
    };
    return {
      connectionId: EMPTY,
      ...rest,
      env,
      ...(serverName === undefined ? {} : { serverName }),
      ...(judge === undefined ? {} : { verifyPeer }),
      ...(certificate === undefined ? {} : { certificate: ownCertificate(env.crypto, certificate) }),
      ...(psk === undefined ? {} : { psk: { identity: bytesOf(psk.identity), key: psk.key } }),
    };
  }

  #onEvent(event: DtlsEvent): void {
    switch (event.type) {
      case 'connected':
        this.#connected = true;
        this.#resolve();
        return;
      case 'data':
        this.#options.onMessage?.(event.bytes.slice(), this);
        return;
      case 'session':
        this.#session = event.session;
        return;
      case 'failed':
        this.#finish(new DtlsError(this.#refusal ?? event.error.message, event.error));
        return;
      case 'closed':
        this.#finish(undefined);
    }
  }

  #giveUp(reason: unknown): void {
    this.#reject(reason);
    this.close();
  }

  /** The last event: close_notify or the alert has been handed to the socket before it. */
  #finish(error: DtlsError | undefined): void {
    this.#driver.close();
    this.#udp?.close();
    this.#reject(error ?? new DtlsError('the connection was closed during the handshake')); // nothing, once connected
    if (this.#connected) this.#options.onClose?.(error);
  }
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? utf8(text) : text;
}
