import { EMPTY, type Instant, type VerifyingKey } from '../core/index.ts';
import { HandshakeFault } from './alert.ts';
import { applyServerExtensions, type ClientOffer, makeClientExtensions } from './client-extensions.ts';
import { checkDowngrade, newSession, resumable, sameId } from './client-resumption.ts';
import { type Handshake, HandshakeContext, type HandshakeHost } from './handshake.ts';
import { pskPremaster } from './key-schedule.ts';
import {
  type CertificateRequest,
  decodeCertificate,
  decodeCertificateRequest,
  decodeHelloVerifyRequest,
  decodeNewSessionTicket,
  decodeServerHello,
  decodeServerKeyExchange,
  encodeCertificate,
  encodeClientHello,
  encodeClientKeyExchange,
  encodeDigitallySigned,
  encodeEcdhParams,
  type NewSessionTicket,
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
  DTLS_1_2,
  FINISHED,
  groupByCode,
  HELLO_REQUEST,
  HELLO_VERIFY_REQUEST,
  handshakeName,
  NEW_SESSION_TICKET,
  SERVER_HELLO,
  SERVER_HELLO_DONE,
  SERVER_KEY_EXCHANGE,
} from './registry.ts';
import type { DtlsSession } from './session.ts';
import { authenticationOf, chooseCertificate, peerKey, verifySigned } from './signatures.ts';
import type { DtlsClientOptions, PskCredential } from './types.ts';

/** Cookies that a server may ask for, one after the other, before the client gives up. */
export const MAX_HELLO_VERIFY_REQUESTS = 3;

/**
 * The flow of RFC 6347 §4.2.4 figure 1 seen by the client (in brackets: not always):
 *
 * ```text
 * ClientHello →
 *                                          ← [HelloVerifyRequest]     wait-server-hello
 * [ClientHello with cookie] →
 *                                          ← ServerHello              wait-server-hello
 *                                          ← [Certificate]            wait-certificate
 *                                          ← [ServerKeyExchange]      wait-key-exchange, wait-psk-hint
 *                                          ← [CertificateRequest]     wait-hello-done
 *                                          ← ServerHelloDone
 * [Certificate] ClientKeyExchange [CertificateVerify] ChangeCipherSpec Finished →
 *                                          ← [NewSessionTicket] ChangeCipherSpec Finished   wait-ticket, wait-finished
 * ```
 * Resumed (RFC 5246 §7.3 figure 2): ServerHello is followed by the server's Finished, and ours comes last.
 */
type Step =
  | 'start'
  | 'wait-server-hello'
  | 'wait-certificate'
  | 'wait-key-exchange'
  | 'wait-psk-hint'
  | 'wait-hello-done'
  | 'wait-ticket'
  | 'wait-finished'
  | 'done';

/** What may come in each step; anything else is `unexpected_message`. */
const LEGAL: Readonly<Record<Step, readonly number[]>> = {
  start: [],
  'wait-server-hello': [HELLO_VERIFY_REQUEST, SERVER_HELLO],
  'wait-certificate': [CERTIFICATE],
  'wait-key-exchange': [SERVER_KEY_EXCHANGE],
  'wait-psk-hint': [SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE],
  'wait-hello-done': [CERTIFICATE_REQUEST, SERVER_HELLO_DONE],
  'wait-ticket': [NEW_SESSION_TICKET],
  'wait-finished': [FINISHED],
  done: [],
};

export class ClientHandshake implements Handshake {
  readonly awaitsFirstHello = false;
  readonly stateless = false;
  readonly #context: HandshakeContext;
  readonly #options: ResolvedOptions;
  readonly #client: DtlsClientOptions;
  #step: Step = 'start';
  #offer: ClientOffer | undefined;
  #helloVerifyRequests = 0;
  #serverKey: VerifyingKey | undefined;
  #serverChain: readonly Uint8Array[] = [];
  #keyExchange: ServerKeyExchange = {};
  #certificateRequest: CertificateRequest | undefined;
  #expectTicket = false;
  #ticket: NewSessionTicket | undefined;
  #sessionId: Uint8Array = EMPTY;
  #resuming: DtlsSession | undefined;
  #resumed = false;

  constructor(client: DtlsClientOptions, options: ResolvedOptions, host: HandshakeHost) {
    this.#client = client;
    this.#options = options;
    this.#context = new HandshakeContext('client', options, host);
  }

  start(now: Instant): void {
    const context = this.#context;
    context.clientRandom = context.random(RANDOM_BYTES);
    const session = this.#client.session;
    if (session !== undefined && resumable(session, this.#client, this.#options)) this.#resuming = session;
    this.#offer = makeClientExtensions(this.#options, this.#client, this.#resuming);
    // RFC 5077 §3.4: with a ticket any session ID will do; the server echoes it when it resumes.
    this.#sessionId =
      this.#resuming?.ticket === undefined ? (this.#resuming?.id ?? EMPTY) : context.random(RANDOM_BYTES);
    this.#sendClientHello(EMPTY, now);
  }

  abandon(): void {
    this.#resuming = undefined;
  }

  get clientRandom(): Uint8Array {
    return this.#context.clientRandom;
  }

  /** The client speaks first. */
  handleHelloStart(): never {
    throw new Error('nobody says hello to a client');
  }

  handleMessage(message: HandshakeMessage, now: Instant): void {
    if (message.type === HELLO_REQUEST) return; // RFC 5246 §7.4.1.1: ignored while a handshake runs, never hashed
    if (!LEGAL[this.#step].includes(message.type)) {
      const text = `${handshakeName(message.type)} in ${this.#step}`;
      throw new HandshakeFault('unexpected_message', 'bad-state', text);
    }
    switch (message.type) {
      case HELLO_VERIFY_REQUEST:
        this.#handleHelloVerifyRequest(message, now);
        break;
      case SERVER_HELLO:
        this.#handleServerHello(message);
        break;
      case CERTIFICATE:
        this.#handleCertificate(message);
        break;
      case SERVER_KEY_EXCHANGE:
        this.#handleServerKeyExchange(message);
        break;
      case CERTIFICATE_REQUEST:
        this.#handleCertificateRequest(message);
        break;
      case SERVER_HELLO_DONE:
        this.#handleServerHelloDone(message, now);
        break;
      case NEW_SESSION_TICKET:
        this.#ticket = decodeNewSessionTicket(message.body);
        this.#context.received(message);
        this.#step = 'wait-finished';
        break;
      default:
        this.#handleFinished(message, now);
        break;
    }
  }

  #sendClientHello(cookie: Uint8Array, now: Instant): void {
    const { host, clientRandom } = this.#context;
    this.#context.restartTranscript();
    host.beginFlight();
    this.#context.send(
      CLIENT_HELLO,
      encodeClientHello({
        version: DTLS_1_2,
        random: clientRandom,
        sessionId: this.#sessionId,
        cookie,
        cipherSuites: this.#options.cipherSuites.map((s) => s.code),
        compressionMethods: Uint8Array.of(0),
        extensions: this.#offer?.extensions,
      }),
    );
    host.launchFlight(now, true);
    this.#step = 'wait-server-hello';
  }

  /** RFC 6347 §4.2.1: the same ClientHello again, with the cookie; neither message before it is hashed. */
  #handleHelloVerifyRequest(message: HandshakeMessage, now: Instant): void {
    const { cookie } = decodeHelloVerifyRequest(message.body);
    if (++this.#helloVerifyRequests > MAX_HELLO_VERIFY_REQUESTS) {
      throw new HandshakeFault('unexpected_message', 'limit', 'the server asks for cookies again and again');
    }
    this.#context.host.forgetAhead();
    this.#sendClientHello(cookie, now);
  }

  /** RFC 5246 §7.4.1.3. */
  #handleServerHello(message: HandshakeMessage): void {
    const context = this.#context;
    const hello = decodeServerHello(message.body);
    if (hello.version !== DTLS_1_2)
      throw new HandshakeFault('protocol_version', 'bad-version', `version ${hello.version}`);
    const suite = this.#options.cipherSuites.find((s) => s.code === hello.cipherSuite);
    if (suite === undefined) throw new HandshakeFault('illegal_parameter', 'bad-value', 'a suite that was not offered');
    if (hello.compressionMethod !== 0) throw new HandshakeFault('illegal_parameter', 'bad-value', 'compression');
    checkDowngrade(hello);
    context.serverRandom = hello.random;
    context.suite = suite;
    if (this.#offer === undefined) throw new Error('ServerHello before ClientHello');
    this.#expectTicket = applyServerExtensions(context, this.#offer, hello.extensions).ticketPromised;
    context.received(message);
    const resuming = this.#resuming;
    if (resuming !== undefined && this.#sessionId.length > 0 && sameId(hello.sessionId, this.#sessionId)) {
      this.#resume(resuming);
      return;
    }
    this.#sessionId = hello.sessionId;
    this.#step = suite.authentication === 'psk' ? this.#afterPskHello() : 'wait-certificate';
  }

  /** An abbreviated handshake: the server takes the session (RFC 5246 §7.3). */
  #resume(session: DtlsSession): void {
    const context = this.#context;
    if (context.suite.name !== session.cipherSuite) {
      throw new HandshakeFault('illegal_parameter', 'bad-value', 'resumed with another suite');
    }
    // RFC 7627 §5.3: a session made with the extension is resumed with it, or not at all.
    if (!context.extendedMasterSecret) throw new HandshakeFault('handshake_failure', 'missing', 'resumed without EMS');
    if (session.peerCertificates.length > 0) context.judge(session.peerCertificates);
    this.#resumed = true;
    this.#serverChain = session.peerCertificates;
    context.resumeMaster(session.masterSecret);
    context.installKeys();
    this.#step = this.#expectTicket ? 'wait-ticket' : 'wait-finished';
  }

  /** ECDHE_PSK always has a ServerKeyExchange; plain PSK only where there is a hint (RFC 4279 §2). */
  #afterPskHello(): Step {
    return this.#context.suite.keyExchange === 'ecdhe-psk' ? 'wait-key-exchange' : 'wait-psk-hint';
  }

  #handleCertificate(message: HandshakeMessage): void {
    const context = this.#context;
    const chain = decodeCertificate(message.body);
    const leaf = chain[0];
    // RFC 5246 §7.4.2: the server MUST send one.
    if (leaf === undefined) throw new HandshakeFault('decode_error', 'missing', 'an empty certificate list');
    const key = peerKey(context.crypto, leaf);
    if (authenticationOf(key.type) !== context.suite.authentication) {
      throw new HandshakeFault(
        'unsupported_certificate',
        'bad-type',
        `a key of type ${key.type} with ${context.suite.name}`,
      );
    }
    context.judge(chain);
    context.received(message);
    this.#serverKey = key;
    this.#serverChain = chain;
    this.#step = 'wait-key-exchange';
  }

  #handleServerKeyExchange(message: HandshakeMessage): void {
    const context = this.#context;
    const exchange = decodeServerKeyExchange(message.body, context.suite.keyExchange);
    const { params, signed } = exchange;
    if (params !== undefined) {
      const group = groupByCode(params.group);
      if (group === undefined || !this.#options.groups.includes(group)) {
        throw new HandshakeFault('illegal_parameter', 'bad-value', `group ${params.group} was not offered`);
      }
      if (signed !== undefined) {
        if (this.#serverKey === undefined) throw new Error('ServerKeyExchange without a certificate');
        const data = context.signedParams(encodeEcdhParams(params));
        const row = verifySigned(this.#serverKey, signed, data, 'ServerKeyExchange');
        context.peerSignatureScheme = row.scheme;
      }
    }
    context.received(message);
    this.#keyExchange = exchange;
    this.#step = 'wait-hello-done';
  }

  #handleCertificateRequest(message: HandshakeMessage): void {
    // RFC 5246 §7.4.4: only servers that authenticated themselves by certificate may ask, and once.
    if (this.#context.suite.authentication === 'psk' || this.#certificateRequest !== undefined) {
      throw new HandshakeFault('unexpected_message', 'bad-state', 'CertificateRequest');
    }
    this.#certificateRequest = decodeCertificateRequest(message.body);
    this.#context.received(message);
  }

  #handleServerHelloDone(message: HandshakeMessage, now: Instant): void {
    const context = this.#context;
    if (message.body.length > 0) throw new HandshakeFault('decode_error', 'trailing-bytes', 'ServerHelloDone');
    context.received(message);
    context.host.beginFlight();
    const own = this.#sendCertificate();
    const premaster = this.#sendClientKeyExchange();
    context.deriveMaster(premaster);
    if (own !== undefined) {
      const signature = own.certificate.key.sign(own.scheme.scheme, context.transcript());
      context.send(CERTIFICATE_VERIFY, encodeDigitallySigned({ scheme: own.scheme.code, signature }));
    }
    context.installKeys();
    context.sendFinished();
    context.host.launchFlight(now, true);
    this.#step = this.#expectTicket ? 'wait-ticket' : 'wait-finished';
  }

  /** RFC 5246 §7.4.6: where asked, a certificate that the server can use, or an empty list. */
  #sendCertificate(): ReturnType<typeof chooseCertificate> {
    const request = this.#certificateRequest;
    if (request === undefined) return undefined;
    const own = chooseCertificate(this.#options.certificates, request.signatureSchemes, (authentication) =>
      request.certificateTypes.includes(
        authentication === 'rsa' ? CERTIFICATE_TYPE_RSA_SIGN : CERTIFICATE_TYPE_ECDSA_SIGN,
      ),
    );
    const chain = own === undefined ? [] : [own.certificate.der, ...(own.certificate.chain ?? [])];
    this.#context.send(CERTIFICATE, encodeCertificate(chain));
    return own;
  }

  /** @returns the premaster secret. */
  #sendClientKeyExchange(): Uint8Array {
    const context = this.#context;
    const { keyExchange } = context.suite;
    const psk = keyExchange === 'ecdhe' ? undefined : this.#pskCredential();
    const { params } = this.#keyExchange;
    const group = params === undefined ? undefined : groupByCode(params.group);
    const share = group === undefined ? undefined : context.crypto.generateKeyShare(group);
    const secret = share === undefined || params === undefined ? undefined : context.agree(share, params.publicKey);
    context.send(
      CLIENT_KEY_EXCHANGE,
      encodeClientKeyExchange({
        ...(psk === undefined ? {} : { pskIdentity: psk.identity }),
        ...(share === undefined ? {} : { publicKey: share.publicKey }),
      }),
    );
    if (psk !== undefined) return pskPremaster(psk.key, secret);
    if (secret === undefined) throw new Error('no key exchange took place');
    return secret;
  }

  #pskCredential(): PskCredential {
    const { psk } = this.#client;
    const credential = typeof psk === 'function' ? psk(this.#keyExchange.pskIdentityHint) : psk;
    // RFC 4279 §2: a client without a key for the hint ends the handshake.
    if (credential === undefined) throw new HandshakeFault('handshake_failure', 'missing', 'no PSK for this hint');
    return credential;
  }

  #handleFinished(message: HandshakeMessage, now: Instant): void {
    const context = this.#context;
    context.checkFinished(message);
    if (this.#resumed) {
      context.host.beginFlight();
      context.sendFinished();
      context.host.launchFlight(now, false);
    }
    this.#step = 'done';
    const group = this.#keyExchange.params && groupByCode(this.#keyExchange.params.group);
    context.host.complete(context.result({ resumed: this.#resumed, ...(group === undefined ? {} : { group }) }));
    this.#emitSession();
  }

  /** Only sessions with the extended master secret are worth keeping (RFC 7627 §5.3). */
  #emitSession(): void {
    const context = this.#context;
    if (!context.extendedMasterSecret) return;
    const session = newSession(this.#client, this.#options, {
      sessionId: this.#sessionId,
      masterSecret: context.master,
      cipherSuite: context.suite.name,
      peerCertificates: this.#serverChain,
      ticket: this.#ticket,
      resumed: this.#resumed ? this.#resuming : undefined,
    });
    if (session !== undefined) context.host.emit({ type: 'session', session });
  }
}
