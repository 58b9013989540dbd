import { ByteWriter, type DropReason, type FiveTuple, type Instant } from '../../core/index.ts';
import {
  type Authenticated,
  STUN_METHODS,
  type StunAttribute,
  type StunErrorCode,
  type StunMessage,
  stunError,
  writeStun,
} from '../../stun/index.ts';
import type { PendingAnswer } from './allocation.ts';
import { MAX_RESPONSE_BYTES } from './limits.ts';
import type { Outbox } from './outbox.ts';
import type { TurnServerCoreOptions } from './types.ts';

/** A request whose sender is known. */
export interface Context {
  readonly message: StunMessage;
  readonly path: FiveTuple;
  readonly user: Authenticated;
  readonly now: Instant;
}

/** Writes responses into the outbox: signed with the request's key where there is one (RFC 8489 §9.2.4). */
export class Responder {
  /** Error responses by code. */
  readonly errors: Map<number, number> = new Map();
  readonly #options: Pick<TurnServerCoreOptions, 'software' | 'fingerprint'>;
  readonly #outbox: Outbox;
  readonly #drop: (reason: DropReason, detail: string) => void;

  constructor(
    options: Pick<TurnServerCoreOptions, 'software' | 'fingerprint'>,
    outbox: Outbox,
    drop: (reason: DropReason, detail: string) => void,
  ) {
    this.#options = options;
    this.#outbox = outbox;
    this.#drop = drop;
  }

  accept(context: Context, attributes: StunAttribute[]): void {
    this.write(context.message, context.path, 'success', attributes, context.user);
  }

  reject(context: Context, code: StunErrorCode, more: readonly StunAttribute[] = []): void {
    this.count(code);
    const attributes: StunAttribute[] = [['ERROR-CODE', stunError(code)], ...more];
    this.write(context.message, context.path, 'error', attributes, context.user);
  }

  count(code: number): void {
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
  }

  /** @param signer - undefined for a client that is not known. @param attributes - may be added to. */
  write(
    request: Pick<StunMessage, 'method' | 'transactionId' | 'hasFingerprint'>,
    path: FiveTuple,
    messageClass: 'success' | 'error',
    attributes: StunAttribute[],
    signer: Pick<Authenticated, 'key' | 'algorithm'> | undefined,
  ): void {
    const buffer = this.#outbox.begin(MAX_RESPONSE_BYTES);
    if (buffer === undefined) {
      this.#drop('limit', 'responses waiting');
      return;
    }
    const { method, transactionId } = request;
    const { software, fingerprint } = this.#options;
    // RFC 8656 §5: SOFTWARE "in all Allocate and Refresh responses", but nothing to strangers.
    const names = method === STUN_METHODS.Allocate || method === STUN_METHODS.Refresh;
    if (names && signer !== undefined && software !== undefined) attributes.push(['SOFTWARE', software]);
    const length = writeStun(new ByteWriter(buffer), {
      messageClass,
      method,
      transactionId,
      attributes,
      integrity: signer === undefined ? [] : [signer],
      fingerprint: request.hasFingerprint || fingerprint === true,
    });
    this.#outbox.commit(length, path);
  }
}

/** What is kept of a request that is answered later. */
export function answerTo({ message, user }: Context): PendingAnswer {
  return {
    method: message.method,
    transactionId: Uint8Array.from(message.transactionId), // copy: the datagram is borrowed
    hasFingerprint: message.hasFingerprint,
    algorithm: user.algorithm,
    wantsTicket: message.has('MOBILITY-TICKET'),
  };
}
