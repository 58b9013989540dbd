import {
  createTransmitSlot,
  DecodeError,
  Driver,
  type Env,
  type FiveTuple,
  formatAddress,
  type Platform,
  type TransmitSlot,
  type TransportAddress,
  utf8,
} from '../core/index.ts';
import { certificateFromDer, certificatesFromPem, privateKeyFromPem } from '../crypto/index.ts';
import { CookieJar, type DtlsCertificate, type DtlsEvent, DtlsServer } from '../dtls/index.ts';
import { WakeTimer } from '../io/index.ts';
import type { Connection, ConnectionHandlers, PemCertificate } from './turn-connections.ts';

/** RFC 7983 §7: the first byte of a DTLS record. */
export function isDtls(firstByte: number | undefined): boolean {
  return firstByte !== undefined && firstByte >= 20 && firstByte <= 63;
}

/** Reads a PEM certificate for DTLS. @throws {DecodeError} or {CryptoError} for one that is none. */
export function dtlsCertificate(env: Env, pem: PemCertificate): DtlsCertificate {
  const [der, ...chain] = certificatesFromPem(pem.cert);
  if (der === undefined) throw new DecodeError('missing', 'certificate', 0);
  // The key alone is taken of `key`: where both are the same file its certificates would stand in the chain twice.
  const certificate = certificateFromDer(env.crypto, der, privateKeyFromPem(env.crypto, pem.key));
  return chain.length === 0 ? certificate : { ...certificate, chain };
}

type SendDatagram = (buffer: Uint8Array, offset: number, length: number, remote: TransportAddress) => void;

/** A client's DTLS connection over a UDP socket that many share. */
class DtlsConnection implements Connection {
  readonly path: FiveTuple;
  readonly driver: Driver<DtlsEvent, void>;
  readonly #dtls: DtlsServer;
  readonly #send: SendDatagram;

  constructor(path: FiveTuple, dtls: DtlsServer, driver: Driver<DtlsEvent, void>, send: SendDatagram) {
    this.path = path;
    this.#dtls = dtls;
    this.driver = driver;
    this.#send = send;
  }

  get state(): DtlsServer['state'] {
    return this.#dtls.state;
  }

  send(slot: TransmitSlot<FiveTuple>): boolean {
    const { state, negotiated } = this.#dtls;
    // A client may take shorter records than what is for it (RFC 8449 §4).
    if (state !== 'connected' || negotiated === undefined || slot.length > negotiated.maxSendRecordBytes) return false;
    this.#dtls.sealInPlace(slot);
    this.#send(slot.buffer, slot.offset, slot.length, this.path.remote);
    return true;
  }

  release(): undefined {
    return undefined;
  }

  close(): void {
    this.driver.mutate((now) => this.#dtls.close(now));
    this.driver.close();
  }
}

/**
 * The DTLS clients of one UDP socket. Nothing is kept for a client before it has returned its cookie (RFC 6347 §4.2.1):
 * the server that answered its first hello is thrown away.
 */
export class DtlsClients {
  readonly #env: Env;
  readonly #platform: Platform;
  readonly #handlers: ConnectionHandlers;
  readonly #send: SendDatagram;
  readonly #cookies: CookieJar;
  readonly #clients = new Map<string, DtlsConnection>();
  readonly #slot: TransmitSlot<void> = createTransmitSlot<void>(2048);
  certificate: DtlsCertificate;

  constructor(
    env: Env,
    platform: Platform,
    certificate: DtlsCertificate,
    handlers: ConnectionHandlers,
    send: SendDatagram,
  ) {
    this.#env = env;
    this.#platform = platform;
    this.certificate = certificate;
    this.#handlers = handlers;
    this.#send = send;
    this.#cookies = new CookieJar(env);
  }

  /** One datagram whose first byte is DTLS; decrypted in place. */
  handleDatagram(bytes: Uint8Array, local: TransportAddress, remote: TransportAddress): void {
    const key = formatAddress(remote);
    const known = this.#clients.get(key);
    if (known !== undefined) {
      known.driver.input(bytes, undefined);
      return;
    }
    if (bytes[0] !== 22) return; // only a ClientHello opens a connection
    const connection = this.#greet({ protocol: 'dtls', local, remote }, key);
    connection.driver.input(bytes, undefined);
    // Nothing is kept of a client without its cookie, nor of one whose hello was refused: its end has been told already.
    if (connection.state === 'connecting' && this.#takes(connection)) this.#clients.set(key, connection);
    else connection.driver.close();
  }

  #takes(connection: DtlsConnection): boolean {
    const { ip } = connection.path.remote;
    if (!this.#handlers.arrived(ip)) return false;
    if (this.#handlers.opened(connection)) return true;
    this.#handlers.left(ip);
    return false;
  }

  close(): void {
    for (const connection of [...this.#clients.values()]) connection.close();
    this.#clients.clear();
  }

  #greet(path: FiveTuple, key: string): DtlsConnection {
    const dtls = new DtlsServer({
      env: this.#env,
      certificate: this.certificate,
      cookies: this.#cookies,
      clientIdentity: utf8(key),
      requireExtendedMasterSecret: false, // any TURN client, not browsers only
    });
    const timer = new WakeTimer(this.#platform, () => driver.wake());
    const host = {
      now: () => this.#platform.now(),
      send: (slot: TransmitSlot<void>) => this.#send(slot.buffer, slot.offset, slot.length, path.remote),
      wakeAt: (at: number) => timer.arm(at),
    };
    const driver: Driver<DtlsEvent, void> = new Driver<DtlsEvent, void>(
      dtls,
      host,
      (event) => this.#onEvent(connection, key, event),
      this.#slot,
    );
    const connection = new DtlsConnection(path, dtls, driver, this.#send);
    return connection;
  }

  #onEvent(connection: DtlsConnection, key: string, event: DtlsEvent): void {
    if (event.type === 'data') {
      this.#handlers.message(event.bytes, connection.path);
    } else if (event.type === 'closed' || event.type === 'failed') {
      if (this.#clients.get(key) === connection) {
        this.#clients.delete(key);
        this.#handlers.closed(connection);
        this.#handlers.left(connection.path.remote.ip);
      }
    }
  }
}
