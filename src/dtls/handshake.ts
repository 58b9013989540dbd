import {
  bytesToHex,
  type CryptoBackend,
  CryptoError,
  concatBytes,
  EMPTY,
  type Instant,
  type KeyShare,
  type SignatureScheme,
} from '../core/index.ts';
import { constantTimeEqual } from '../crypto/index.ts';
import { type AlertDescription, HandshakeFault } from './alert.ts';
import { encodeWholeMessage } from './handshake-fragment.ts';
import { extendedMasterSecret, keyBlock, masterSecret, verifyData } from './key-schedule.ts';
import type { ResolvedOptions } from './options.ts';
import type { HandshakeMessage } from './reassembly.ts';
import { MAX_PLAINTEXT_BYTES } from './record.ts';
import { RecordCipher } from './record-cipher.ts';
import { type CipherSuite, FINISHED } from './registry.ts';
import type { DtlsEvent, Negotiated } from './types.ts';

/** What the two roles' state machines ask of the connection around them. */
export interface HandshakeHost {
  /** Starts an empty flight; the one before is forgotten. */
  beginFlight(): void;
  /** Adds a message to the flight, under the current write epoch. @returns its message_seq. */
  addMessage(type: number, body: Uint8Array): number;
  /** Adds ChangeCipherSpec; what follows is written under the installed keys. */
  addChangeCipherSpec(): void;
  /** @param awaitsReply - false for the last flight of the handshake. */
  launchFlight(now: Instant, awaitsReply: boolean): void;
  /** Server: counts on from the numbers of this ClientHello (RFC 6347 §4.2.1). */
  continueFrom(hello: HelloNumbers): void;
  /** Server: there is an association from now on. @param messageSeq - of the message that comes next. */
  accept(messageSeq: number): void;
  /** Client: drops messages held ahead; they cannot be answers to the ClientHello that comes now. */
  forgetAhead(): void;
  /** From now on records of epoch 1 are opened; they are written after the next ChangeCipherSpec. */
  installKeys(write: RecordCipher, read: RecordCipher): void;
  setPeerCertificates(chain: readonly Uint8Array[]): void;
  emit(event: DtlsEvent): void;
  complete(result: HandshakeResult): void;
}

/** What a server's answer to a ClientHello, or to the first fragment of one, repeats. */
export type HelloNumbers = Pick<HandshakeMessage, 'messageSeq' | 'recordSequence'>;

/**
 * What the first fragment of a ClientHello was good for: `answered` with a HelloVerifyRequest, so that nothing of it is needed any
 * more; `accepted`, as its cookie is right; or `too-short`: the cookie, or what it covers, goes on in the next fragment.
 */
export type HelloStartOutcome = 'answered' | 'accepted' | 'too-short';

/** One role's state machine. */
export interface Handshake {
  /** Server: no ClientHello was accepted yet, so one of any message_seq is handled. */
  readonly awaitsFirstHello: boolean;
  /** The server keeps no state yet: a fault is only a drop, because anyone may have sent it (RFC 6347 §4.2.1). */
  readonly stateless: boolean;
  /** Names the handshake; empty before a ClientHello. */
  readonly clientRandom: Uint8Array;
  /** Client: sends the first flight. */
  start(now: Instant): void;
  /** Server, while `stateless`: the first fragment of a ClientHello. @throws {DecodeError} */
  handleHelloStart(fragment: Uint8Array, numbers: HelloNumbers, now: Instant): HelloStartOutcome;
  /** @throws {HandshakeFault} @throws {DecodeError} both end the connection. */
  handleMessage(message: HandshakeMessage, now: Instant): void;
  /** The connection has failed: nothing of it may be resumed (RFC 5246 §7.2.2). */
  abandon(): void;
}

export interface HandshakeResult {
  readonly negotiated: Negotiated;
  readonly suite: CipherSuite;
  readonly masterSecret: Uint8Array;
  readonly clientRandom: Uint8Array;
  readonly serverRandom: Uint8Array;
}

export type Role = 'client' | 'server';

/**
 * The state that both roles share: transcript, randoms, the suite, secrets, and Finished. Nothing here decides anything
 * about the flow.
 */
export class HandshakeContext {
  readonly role: Role;
  readonly options: ResolvedOptions;
  readonly host: HandshakeHost;
  clientRandom: Uint8Array = EMPTY;
  serverRandom: Uint8Array = EMPTY;
  extendedMasterSecret = false;
  /** Connection IDs in records to the peer and from it (RFC 9146 §3); empty: none. */
  sendConnectionId: Uint8Array = EMPTY;
  receiveConnectionId: Uint8Array = EMPTY;
  connectionIdNegotiated = false;
  /** RFC 8449 §4; what the peer takes. */
  maxSendRecordBytes: number = MAX_PLAINTEXT_BYTES;
  /** The peer's record_size_limit (RFC 8449 §4), where it sent one. */
  recordSizeLimitBytes: number | undefined;
  alpn: string | undefined;
  srtpProfile: number | undefined;
  peerSignatureScheme: SignatureScheme | undefined;
  #suite: CipherSuite | undefined;
  #master: Uint8Array | undefined;
  /** Whole messages as RFC 6347 §4.2.6 counts them: without ClientHello of the cookie exchange and HelloVerifyRequest. */
  #transcript: Uint8Array[] = [];

  constructor(role: Role, options: ResolvedOptions, host: HandshakeHost) {
    this.role = role;
    this.options = options;
    this.host = host;
  }

  get crypto(): CryptoBackend {
    return this.options.env.crypto;
  }

  random(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.options.env.random(bytes);
    return bytes;
  }

  get suite(): CipherSuite {
    if (this.#suite === undefined) throw new Error('no suite is chosen yet');
    return this.#suite;
  }

  set suite(suite: CipherSuite) {
    this.#suite = suite;
  }

  get master(): Uint8Array {
    if (this.#master === undefined) throw new Error('no secret is agreed yet');
    return this.#master;
  }

  restartTranscript(): void {
    this.#transcript = [];
  }

  received(message: HandshakeMessage): void {
    this.#transcript.push(encodeWholeMessage(message.type, message.messageSeq, message.body));
  }

  send(type: number, body: Uint8Array): void {
    const messageSeq = this.host.addMessage(type, body);
    this.#transcript.push(encodeWholeMessage(type, messageSeq, body));
  }

  /** All messages so far: what CertificateVerify signs (RFC 5246 §7.4.8). */
  transcript(): Uint8Array {
    return concatBytes(...this.#transcript);
  }

  #transcriptHash(): Uint8Array {
    return this.crypto.hash(this.suite.hash, ...this.#transcript);
  }

  /**
   * The ECDH secret of an own share with the peer's key.
   * @throws {HandshakeFault} `illegal_parameter` for a point off its curve, and for an all-zero secret (RFC 8422 §5.11).
   */
  agree(share: KeyShare, peerPublicKey: Uint8Array): Uint8Array {
    try {
      return share.deriveSecret(peerPublicKey);
    } catch (error) {
      if (error instanceof CryptoError) throw new HandshakeFault('illegal_parameter', 'bad-value', error.message);
      throw error;
    }
  }

  /** Both randoms, in front of what ServerKeyExchange signs (RFC 8422 §5.4). */
  signedParams(params: Uint8Array): Uint8Array {
    return concatBytes(this.clientRandom, this.serverRandom, params);
  }

  /** Call when ClientKeyExchange is the last message of the transcript: RFC 7627 §3 hashes up to there. */
  deriveMaster(premaster: Uint8Array): void {
    const { crypto, suite } = this;
    this.resumeMaster(
      this.extendedMasterSecret
        ? extendedMasterSecret(crypto, suite.hash, premaster, this.#transcriptHash())
        : masterSecret(crypto, suite.hash, premaster, this.clientRandom, this.serverRandom),
    );
    premaster.fill(0);
  }

  /** Takes the master secret of an earlier session. */
  resumeMaster(master: Uint8Array): void {
    this.#master = master;
    // NSS key log format, which Wireshark reads.
    this.options.keyLog?.(`CLIENT_RANDOM ${bytesToHex(this.clientRandom)} ${bytesToHex(master)}`);
  }

  installKeys(): void {
    const { crypto, suite, options } = this;
    const block = keyBlock(crypto, suite, this.master, this.clientRandom, this.serverRandom);
    const [write, read] = this.role === 'client' ? [block.client, block.server] : [block.server, block.client];
    this.host.installKeys(
      new RecordCipher(crypto, suite, write, this.sendConnectionId, options.keyLimits),
      new RecordCipher(crypto, suite, read, this.receiveConnectionId, options.keyLimits),
    );
  }

  /** ChangeCipherSpec and Finished (RFC 5246 §7.1, §7.4.9). */
  sendFinished(): void {
    this.host.addChangeCipherSpec();
    this.send(FINISHED, verifyData(this.crypto, this.suite.hash, this.master, this.role, this.#transcriptHash()));
  }

  /**
   * Checks the peer's Finished and adds it to the transcript.
   * @throws {HandshakeFault} `decode_error` for another length, `decrypt_error` for another value (RFC 5246 §7.2.2).
   */
  checkFinished(message: HandshakeMessage): void {
    const sender = this.role === 'client' ? 'server' : 'client';
    const expected = verifyData(this.crypto, this.suite.hash, this.master, sender, this.#transcriptHash());
    if (message.body.length !== expected.length)
      throw new HandshakeFault('decode_error', 'bad-length', 'Finished: length');
    if (!constantTimeEqual(message.body, expected)) {
      throw new HandshakeFault('decrypt_error', 'bad-integrity', 'Finished: verify_data is wrong');
    }
    this.received(message);
  }

  /**
   * Lets the application judge a chain.
   * @throws {HandshakeFault} with the alert it names; `internal_error` when it throws.
   */
  judge(chain: readonly Uint8Array[]): void {
    let alert: AlertDescription | undefined;
    try {
      alert = this.options.verifyPeer(chain);
    } catch (error) {
      throw new HandshakeFault('internal_error', 'bad-state', `verifyPeer threw: ${String(error)}`);
    }
    if (alert !== undefined) throw new HandshakeFault(alert, 'bad-fingerprint', 'the certificate was not accepted');
    this.host.setPeerCertificates(chain);
  }

  /** The part of `Negotiated` that both roles fill alike. */
  result(role: Pick<Negotiated, 'resumed'> & Partial<Negotiated>): HandshakeResult {
    const cids = this.connectionIdNegotiated
      ? { sendConnectionId: this.sendConnectionId, receiveConnectionId: this.receiveConnectionId }
      : {};
    return {
      negotiated: {
        cipherSuite: this.suite.name,
        extendedMasterSecret: this.extendedMasterSecret,
        maxSendRecordBytes: this.maxSendRecordBytes,
        ...(this.recordSizeLimitBytes === undefined ? {} : { recordSizeLimitBytes: this.recordSizeLimitBytes }),
        ...(this.alpn === undefined ? {} : { alpn: this.alpn }),
        ...(this.srtpProfile === undefined ? {} : { srtpProfile: this.srtpProfile }),
        ...(this.peerSignatureScheme === undefined ? {} : { peerSignatureScheme: this.peerSignatureScheme }),
        ...cids,
        ...role,
      },
      suite: this.suite,
      masterSecret: this.master,
      clientRandom: this.clientRandom,
      serverRandom: this.serverRandom,
    };
  }
}
