import { DecodeError, EMPTY, type GroupName, type Instant, type KeyShare, type VerifyingKey } from '../core/index.ts';
import { HandshakeFault } from './alert.ts';
import { CookieJar } from './cookie.ts';
import {
  type Handshake,
  HandshakeContext,
  type HandshakeHost,
  type HelloNumbers,
  type HelloStartOutcome,
} from './handshake.ts';
import { pskPremaster } from './key-schedule.ts';
import {
  type ClientHello,
  type ClientHelloStart,
  decodeCertificate,
  decodeCertificateVerify,
  decodeClientHello,
  decodeClientHelloStart,
  decodeClientKeyExchange,
  encodeCertificate,
  encodeCertificateRequest,
  encodeEcdhParams,
  encodeHelloVerifyRequest,
  encodeNewSessionTicket,
  encodeServerHello,
  encodeServerKeyExchange,
  RANDOM_BYTES,
  type ServerKeyExchange,
} from './messages/index.ts';
import type { ResolvedOptions } from './options.ts';
import type { HandshakeMessage } from './reassembly.ts';
import {
  CERTIFICATE,
  CERTIFICATE_REQUEST,
  CERTIFICATE_TYPE_ECDSA_SIGN,
  CERTIFICATE_TYPE_RSA_SIGN,
  CERTIFICATE_VERIFY,
  CLIENT_HELLO,
  CLIENT_KEY_EXCHANGE,
  DTLS_1_0,
  DTLS_1_2,
  FINISHED,
  groupCode,
  HELLO_VERIFY_REQUEST,
  handshakeName,
  NEW_SESSION_TICKET,
  SERVER_HELLO,
  SERVER_HELLO_DONE,
  SERVER_KEY_EXCHANGE,
} from './registry.ts';
import { type Choice, certificateRequired, checkVersion, chooseSuite, findSession } from './server-choice.ts';
import { type ClientWishes, readClientWishes, settleExtensions } from './server-extensions.ts';
import { DEFAULT_SESSION_LIFETIME_S, type DtlsSession } from './session.ts';
import { peerKey, VERIFIED_SCHEME_CODES, verifySigned } from './signatures.ts';
import type { DtlsServerOptions } from './types.ts';

/**
 * The flow of RFC 6347 §4.2.4 figure 1 seen by the server (in brackets: not always):
 *
 * ```text
 * ClientHello →                                                       wait-client-hello
 *                                          ← [HelloVerifyRequest]
 * [ClientHello with cookie] →                                         wait-client-hello
 *           ← ServerHello [Certificate] [ServerKeyExchange] [CertificateRequest] ServerHelloDone
 * [Certificate] →                                                     wait-certificate
 * ClientKeyExchange →                                                 wait-key-exchange
 * [CertificateVerify] →                                               wait-certificate-verify
 * ChangeCipherSpec Finished →                                         wait-finished
 *                                          ← [NewSessionTicket] ChangeCipherSpec Finished
 * ```
 * Resumed (RFC 5246 §7.3 figure 2): ServerHello, ChangeCipherSpec and Finished at once, and the client's Finished is last.
 */
type Step =
  | 'wait-client-hello'
  | 'wait-certificate'
  | 'wait-key-exchange'
  | 'wait-certificate-verify'
  | 'wait-finished'
  | 'done';

/** What may come in each step; anything else is `unexpected_message`. */
const LEGAL: Readonly<Record<Step, number | undefined>> = {
  'wait-client-hello': CLIENT_HELLO,
  'wait-certificate': CERTIFICATE,
  'wait-key-exchange': CLIENT_KEY_EXCHANGE,
  'wait-certificate-verify': CERTIFICATE_VERIFY,
  'wait-finished': FINISHED,
  done: undefined,
};

export class ServerHandshake implements Handshake {
  readonly #context: HandshakeContext;
  readonly #options: ResolvedOptions;
  readonly #server: DtlsServerOptions;
  readonly #cookies: CookieJar | undefined;
  #step: Step = 'wait-client-hello';
  #accepted = false;
  #share: KeyShare | undefined;
  #group: GroupName | undefined;
  #clientChain: readonly Uint8Array[] = [];
  #clientKey: VerifyingKey | undefined;
  #serverName: string | undefined;
  #pskIdentity: Uint8Array | undefined;
  #sessionId: Uint8Array = EMPTY;
  #issueTicket = false;
  #resumed = false;

  constructor(server: DtlsServerOptions, options: ResolvedOptions, host: HandshakeHost) {
    this.#server = server;
    this.#options = options;
    this.#context = new HandshakeContext('server', options, host);
    this.#cookies = (server.cookieExchange ?? true) ? (server.cookies ?? new CookieJar(options.env)) : undefined;
  }

  get awaitsFirstHello(): boolean {
    return !this.#accepted;
  }

  get stateless(): boolean {
    return this.#cookies !== undefined && !this.#accepted;
  }

  /** The client speaks first. */
  start(): void {
    throw new Error('a server does not start a handshake');
  }

  abandon(): void {
    // A client that has not proved that it has the secret may have read the ID on the wire: it ends nobody's session.
    if (this.#resumed && this.#step !== 'done') return;
    if (this.#sessionId.length > 0) this.#server.sessionCache?.delete(this.#sessionId);
  }

  get clientRandom(): Uint8Array {
    return this.#context.clientRandom;
  }

  handleMessage(message: HandshakeMessage, now: Instant): void {
    if (message.type !== LEGAL[this.#step]) {
      const text = `${handshakeName(message.type)} in ${this.#step}`;
      throw new HandshakeFault('unexpected_message', 'bad-state', text);
    }
    switch (this.#step) {
      case 'wait-client-hello':
        this.#handleClientHello(message, now);
        break;
      case 'wait-certificate':
        this.#handleCertificate(message);
        break;
      case 'wait-key-exchange':
        this.#handleClientKeyExchange(message);
        break;
      case 'wait-certificate-verify':
        this.#handleCertificateVerify(message);
        break;
      default:
        this.#handleFinished(message, now);
        break;
    }
  }

  #handleClientHello(message: HandshakeMessage, now: Instant) {
    const context = this.#context;
    if (!this.#accepted) {
      const start = decodeClientHelloStart(message.body);
      if (!this.#checkCookie(start, message, now)) return;
      this.#accept(start, message.messageSeq + 1);
    }
    context.host.continueFrom(message);
    const hello = decodeClientHello(message.body);
    checkVersion(hello.version);
    if (!hello.compressionMethods.includes(0)) {
      throw new HandshakeFault('illegal_parameter', 'bad-value', 'the client does not offer the null compression');
    }
    const wishes = readClientWishes(hello);
    if (!wishes.extendedMasterSecret && this.#options.requireExtendedMasterSecret) {
      throw new HandshakeFault('handshake_failure', 'missing', 'the client lacks extended_master_secret'); // RFC 7627 §5.3
    }
    context.received(message);
    context.serverRandom = context.random(RANDOM_BYTES);
    this.#serverName = wishes.serverName;
    const found = findSession(this.#server, this.#options, hello, wishes);
    if (found === undefined) return this.#sendServerFlight(chooseSuite(this.#options, hello, wishes), wishes, now);
    context.suite = found.suite;
    this.#resume(found.session, hello, wishes, now);
  }

  /**
   * The cookie and what it covers come before the extensions, which are what makes a ClientHello long: its first fragment is enough to
   * answer it, or to know the client again. So nothing is kept of a client that has not proved its address, and the rest of a
   * hello is only put together for those that have.
   */
  handleHelloStart(fragment: Uint8Array, numbers: HelloNumbers, now: Instant): HelloStartOutcome {
    let hello: ClientHelloStart;
    try {
      hello = decodeClientHelloStart(fragment);
    } catch (error) {
      if (error instanceof DecodeError && error.reason === 'too-short') return 'too-short';
      throw error;
    }
    if (!this.#checkCookie(hello, numbers, now)) return 'answered';
    this.#accept(hello, numbers.messageSeq);
    return 'accepted';
  }

  /** @returns false for a client that has to prove its address first, and has been told so. */
  #checkCookie(hello: ClientHelloStart, numbers: HelloNumbers, now: Instant): boolean {
    const cookies = this.#cookies;
    const identity = this.#server.clientIdentity ?? EMPTY;
    if (cookies === undefined || cookies.check(hello, identity, now)) return true;
    this.#sendHelloVerifyRequest(numbers, cookies.make(hello, identity, now), now);
    return false;
  }

  /** From here on there is an association, and faults end it. @param nextMessageSeq - of what is handled next. */
  #accept(hello: ClientHelloStart, nextMessageSeq: number): void {
    this.#accepted = true;
    this.#context.clientRandom = hello.random;
    this.#context.host.accept(nextMessageSeq);
  }

  /** RFC 6347 §4.2.1: an answer that costs no state; numbers repeat the ClientHello's. */
  #sendHelloVerifyRequest(hello: HelloNumbers, cookie: Uint8Array, now: Instant): void {
    const { host } = this.#context;
    host.continueFrom(hello);
    host.beginFlight();
    // "The server_version field … SHOULD be DTLS 1.0 … regardless of the version … expected to be negotiated."
    host.addMessage(HELLO_VERIFY_REQUEST, encodeHelloVerifyRequest({ version: DTLS_1_0, cookie }));
    host.launchFlight(now, false);
  }

  #sendServerFlight(choice: Choice, wishes: ClientWishes, now: Instant): void {
    const context = this.#context;
    const { suite, group, own } = choice;
    context.suite = suite;
    this.#issueTicket =
      this.#server.ticketKeys !== undefined && wishes.ticket !== undefined && wishes.extendedMasterSecret;
    if (this.#server.sessionCache !== undefined && wishes.extendedMasterSecret) this.#sessionId = context.random(32);
    context.host.beginFlight();
    this.#sendServerHello(wishes, this.#issueTicket);
    if (own !== undefined) {
      context.send(CERTIFICATE, encodeCertificate([own.certificate.der, ...(own.certificate.chain ?? [])]));
    }
    this.#group = group;
    if (group !== undefined) this.#share = context.crypto.generateKeyShare(group);
    const exchange = this.#makeServerKeyExchange(own);
    if (exchange !== undefined) context.send(SERVER_KEY_EXCHANGE, encodeServerKeyExchange(exchange));
    const askCertificate = own !== undefined && this.#server.requestClientCertificate === true;
    if (askCertificate) {
      const certificateTypes = Uint8Array.of(CERTIFICATE_TYPE_ECDSA_SIGN, CERTIFICATE_TYPE_RSA_SIGN);
      const request = { certificateTypes, signatureSchemes: VERIFIED_SCHEME_CODES, authorities: [] };
      context.send(CERTIFICATE_REQUEST, encodeCertificateRequest(request));
    }
    context.send(SERVER_HELLO_DONE, EMPTY);
    context.host.launchFlight(now, true);
    this.#step = askCertificate ? 'wait-certificate' : 'wait-key-exchange';
  }

  #sendServerHello(wishes: ClientWishes, promiseTicket: boolean): void {
    const context = this.#context;
    const extensions = settleExtensions(context, wishes, promiseTicket);
    context.send(
      SERVER_HELLO,
      encodeServerHello({
        version: DTLS_1_2,
        random: context.serverRandom,
        sessionId: this.#sessionId,
        cipherSuite: context.suite.code,
        compressionMethod: 0,
        // RFC 5246 §7.4.1.3: clients from before extensions do not expect even an empty block.
        extensions: extensions.length > 0 ? extensions : undefined,
      }),
    );
  }

  /** RFC 8422 §5.4, RFC 4279 §2, RFC 5489 §2; none for plain PSK without a hint. */
  #makeServerKeyExchange(own: Choice['own']): ServerKeyExchange | undefined {
    const context = this.#context;
    const share = this.#share;
    const hint = this.#server.pskIdentityHint;
    const params = share === undefined ? undefined : { group: groupCode(share.group), publicKey: share.publicKey };
    switch (context.suite.keyExchange) {
      case 'psk':
        return hint === undefined ? undefined : { pskIdentityHint: hint };
      case 'ecdhe-psk':
        return params === undefined ? undefined : { pskIdentityHint: hint ?? EMPTY, params };
      case 'ecdhe': {
        if (params === undefined || own === undefined) throw new Error('ECDHE without a group or certificate');
        const data = context.signedParams(encodeEcdhParams(params));
        const signature = own.certificate.key.sign(own.scheme.scheme, data);
        return { params, signed: { scheme: own.scheme.code, signature } };
      }
    }
  }

  #handleCertificate(message: HandshakeMessage): void {
    const context = this.#context;
    const chain = decodeCertificate(message.body);
    const leaf = chain[0];
    if (leaf === undefined) {
      // RFC 5246 §7.4.6: "the server MAY at its discretion either continue … or respond with a fatal handshake_failure".
      if (certificateRequired(this.#server))
        throw new HandshakeFault('handshake_failure', 'missing', 'the client has no certificate');
    } else {
      this.#clientKey = peerKey(context.crypto, leaf);
      context.judge(chain);
    }
    this.#clientChain = chain;
    context.received(message);
    this.#step = 'wait-key-exchange';
  }

  #handleClientKeyExchange(message: HandshakeMessage): void {
    const context = this.#context;
    const { keyExchange } = context.suite;
    const { publicKey, pskIdentity } = decodeClientKeyExchange(message.body, keyExchange);
    const secret =
      this.#share === undefined || publicKey === undefined ? undefined : context.agree(this.#share, publicKey);
    this.#share = undefined; // an ephemeral key is used once
    let premaster = secret;
    if (pskIdentity !== undefined) {
      this.#pskIdentity = pskIdentity;
      const key = this.#server.psk?.(pskIdentity);
      if (key === undefined) throw new HandshakeFault('unknown_psk_identity', 'unknown-peer', 'unknown PSK identity');
      premaster = pskPremaster(key, secret);
    }
    if (premaster === undefined) throw new Error('no key exchange took place');
    context.received(message);
    context.deriveMaster(premaster);
    context.installKeys();
    this.#step = this.#clientKey === undefined ? 'wait-finished' : 'wait-certificate-verify';
  }

  /** RFC 5246 §7.4.8: proves that the client holds the key of its certificate. */
  #handleCertificateVerify(message: HandshakeMessage): void {
    const context = this.#context;
    const signed = decodeCertificateVerify(message.body);
    if (this.#clientKey === undefined) throw new Error('CertificateVerify without a certificate');
    const row = verifySigned(this.#clientKey, signed, context.transcript(), 'CertificateVerify');
    context.peerSignatureScheme = row.scheme;
    context.received(message);
    this.#step = 'wait-finished';
  }

  #handleFinished(message: HandshakeMessage, now: Instant): void {
    const context = this.#context;
    context.checkFinished(message);
    this.#step = 'done';
    if (!this.#resumed) {
      context.host.beginFlight();
      if (this.#issueTicket) this.#sendTicket();
      context.sendFinished();
      context.host.launchFlight(now, false);
      if (this.#sessionId.length > 0) this.#server.sessionCache?.set(this.#makeSession());
    }
    const serverName = this.#serverName;
    const group = this.#resumed ? undefined : this.#group;
    context.host.complete(
      context.result({
        resumed: this.#resumed,
        ...(group === undefined ? {} : { group }),
        ...(serverName === undefined ? {} : { serverName }),
        ...(this.#pskIdentity === undefined ? {} : { pskIdentity: this.#pskIdentity }),
      }),
    );
  }

  // Resumption.

  #makeSession(): DtlsSession {
    const context = this.#context;
    const serverName = this.#serverName;
    return {
      id: this.#sessionId,
      masterSecret: context.master,
      cipherSuite: context.suite.name,
      peerCertificates: this.#clientChain,
      createdAtMs: this.#options.env.wallClockMs(),
      lifetimeS: this.#server.ticketKeys?.lifetimeS ?? DEFAULT_SESSION_LIFETIME_S,
      ...(serverName === undefined ? {} : { serverName }),
    };
  }

  /** RFC 5077 §3.3: promised in ServerHello, so sent in any case; empty when the state is too long for a ticket. */
  #sendTicket(): void {
    const keys = this.#server.ticketKeys;
    const ticket = keys?.seal(this.#makeSession()) ?? EMPTY;
    this.#context.send(NEW_SESSION_TICKET, encodeNewSessionTicket({ lifetimeHintS: keys?.lifetimeS ?? 0, ticket }));
  }

  #resume(session: DtlsSession, hello: ClientHello, wishes: ClientWishes, now: Instant): void {
    const context = this.#context;
    if (session.peerCertificates.length > 0) context.judge(session.peerCertificates);
    this.#resumed = true;
    this.#sessionId = hello.sessionId; // RFC 5077 §3.4: echoed also for a ticket, which tells the client that it was taken
    context.host.beginFlight();
    this.#sendServerHello(wishes, false);
    context.resumeMaster(session.masterSecret);
    context.installKeys();
    context.sendFinished();
    context.host.launchFlight(now, true);
    this.#step = 'wait-finished';
  }
}
