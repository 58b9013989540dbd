import type { Env } from '../core/index.ts';
import { type Certificate, generateCertificate } from '../crypto/index.ts';
import { type JsepSession, offerRestartsDtls } from '../sdp/index.ts';
import { randomTlsId } from './ice-credentials.ts';

/** Who we are in the DTLS associations of one connection: the certificate, and our name for the association (RFC 8842 §4). */
export class OwnIdentity {
  readonly #env: Env;
  #certificate: Certificate | undefined;
  /** Of the association that there is, or is to come. */
  #tlsId: string | undefined;

  /** @param certificate - where the application has one; otherwise one is made when it is needed. */
  constructor(env: Env, certificate: Certificate | undefined) {
    this.#env = env;
    this.#certificate = certificate;
  }

  /** The same for as long as the connection lives. */
  get certificate(): Certificate {
    this.#certificate ??= generateCertificate(this.#env);
    return this.#certificate;
  }

  get tlsId(): string {
    this.#tlsId ??= randomTlsId(this.#env);
    return this.#tlsId;
  }

  /** RFC 8842 §5.3: the previous one for an association that goes on. The answer has it only where the offer has one. */
  answeredTlsId(session: JsepSession): string {
    const isNew = session.provisional === undefined && offerRestartsDtls(session);
    return isNew ? randomTlsId(this.#env) : this.tlsId;
  }

  /** What an exchange has settled; undefined where our description has none, which changes nothing. */
  settle(tlsId: string | undefined): void {
    if (tlsId !== undefined) this.#tlsId = tlsId;
  }

  /** The association is over and another one will have another name. */
  forgetAssociation(): void {
    this.#tlsId = undefined;
  }
}
