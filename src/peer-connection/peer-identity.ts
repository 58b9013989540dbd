import type { CryptoBackend } from '../core/index.ts';
import { ALERT_CODES, type AlertDescription } from '../dtls/index.ts';
import { type Fingerprint, matchFingerprint } from './fingerprints.ts';
import type { DtlsFailure, RemoteTransport } from './transport-types.ts';

/** Who the peer turned out to be, and what the handshake said about it where it failed. */
export class PeerIdentity {
  readonly #crypto: CryptoBackend;
  #fingerprint: Fingerprint | undefined;
  #refused = false;
  #sentAlert: number | undefined;
  #receivedAlert: number | undefined;

  constructor(crypto: CryptoBackend) {
    this.#crypto = crypto;
  }

  /** The fingerprint that the certificate matched. */
  get fingerprint(): Fingerprint | undefined {
    return this.#fingerprint;
  }

  /**
   * RFC 8827 §6.5, RFC 8122 §6.2: the certificate itself is the identity; no chain is built.
   * @returns the alert to fail with.
   */
  verify(chain: readonly Uint8Array[], remote: RemoteTransport | undefined): AlertDescription | undefined {
    const certificate = chain[0];
    if (certificate === undefined || remote === undefined) return 'bad_certificate';
    this.#fingerprint = matchFingerprint(this.#crypto, certificate, remote.fingerprints);
    if (this.#fingerprint !== undefined || remote.acceptAnyCertificate) return undefined;
    this.#refused = true;
    return 'bad_certificate';
  }

  noteAlert(direction: 'sent' | 'received', description: AlertDescription | number): void {
    const code = typeof description === 'number' ? description : ALERT_CODES[description];
    if (direction === 'sent') this.#sentAlert = code;
    else this.#receivedAlert = code;
  }

  failure(message: string): DtlsFailure {
    return {
      detail: this.#refused ? 'fingerprint-failure' : 'dtls-failure',
      message,
      sentAlert: this.#sentAlert,
      receivedAlert: this.#receivedAlert,
    };
  }
}
