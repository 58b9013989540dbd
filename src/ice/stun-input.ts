import { DecodeError, type DropReason, type FiveTuple, type Instant } from '../core/index.ts';
import {
  decodeStun,
  integrityAlgorithm,
  STUN_METHODS,
  type StunMessage,
  transactionKey,
  verifyIntegrity,
} from '../stun/index.ts';
import { encodeBindingError, readCheckRequest, readCheckResponse, readUsername, UNKNOWN_ATTRIBUTE } from './binding.ts';
import type { Gatherer, GatheringTask } from './gathering.ts';
import type { IceSession } from './session.ts';

/** What the reader of STUN datagrams needs of the agent. */
export interface StunInputHost {
  readonly gatherer: Gatherer;
  /** The current generation, and during a restart the previous one. */
  readonly sessions: readonly IceSession[];
  send(bytes: Uint8Array, path: FiveTuple): void;
  drop(reason: DropReason, detail: string): void;
  gathered(task: GatheringTask, response: StunMessage, now: Instant): void;
}

/**
 * Decodes and authenticates one STUN datagram and hands it to whom it belongs. Nothing behind this function sees a
 * message that does not prove knowledge of a password — but for answers of STUN servers, which have none; those must
 * match a request of ours by transaction ID and five-tuple.
 *
 * RFC 8489 §9.1.3 would answer a request of unknown origin with 400 or 401. We stay silent: an attacker learns nothing
 * and gets nothing sent, and a peer with old credentials is answered by its own timeout.
 */
export function handleStun(host: StunInputHost, bytes: Uint8Array, path: FiveTuple, now: Instant): void {
  try {
    const message = decodeStun(bytes);
    if (message.method !== STUN_METHODS.Binding) {
      host.drop('unsupported', message.toString());
      return;
    }
    if (message.messageClass === 'request') handleRequest(host, message, path, now);
    else if (message.messageClass !== 'indication') handleResponse(host, message, path, now);
    // An indication is a keepalive (RFC 8445 §11): it says nothing and proves nothing.
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    host.drop(error.reason, error.message);
  }
}

/** RFC 8445 §7.3. */
function handleRequest(host: StunInputHost, message: StunMessage, path: FiveTuple, now: Instant): void {
  if (!message.hasFingerprint) {
    host.drop('missing', 'FINGERPRINT');
    return;
  }
  const algorithm = integrityAlgorithm(message);
  if (algorithm === undefined) {
    host.drop('unauthenticated', 'check without MESSAGE-INTEGRITY');
    return;
  }
  const { ours, theirs } = readUsername(message);
  const session = host.sessions.find((candidate) => candidate.local.ufrag === ours);
  if (session === undefined) {
    host.drop('unknown-peer', 'check for another ufrag');
    return;
  }
  if (!verifyIntegrity(message, session.localKey)) {
    host.drop('bad-integrity', 'check');
    return;
  }
  const unknown = message.unknownRequired();
  if (unknown.length > 0) {
    host.drop('unsupported', 'comprehension-required attribute');
    const answered = { transactionId: message.transactionId, algorithm };
    host.send(encodeBindingError(answered, session.localKey, UNKNOWN_ATTRIBUTE, unknown), path);
    return;
  }
  session.inbound.handle(readCheckRequest(message, theirs, algorithm), path, now);
}

/** RFC 8445 §7.2.5. */
function handleResponse(host: StunInputHost, message: StunMessage, path: FiveTuple, now: Instant): void {
  const id = transactionKey(message.transactionId);
  for (const session of host.sessions) {
    const pending = session.checks.requests.get(id);
    if (pending === undefined) continue;
    const key = session.checks.remoteKey;
    if (integrityAlgorithm(message) === undefined || key === undefined) {
      host.drop('unauthenticated', 'response');
      return;
    }
    // RFC 8489 §9.1.4: our checks have MESSAGE-INTEGRITY alone, as RFC 8445 knows no other, and "has to match".
    if (!verifyIntegrity(message, key, 'sha-1')) {
      host.drop('bad-integrity', 'response');
      return;
    }
    session.handleResponse(readCheckResponse(message), pending, path, now);
    return;
  }
  const request = host.gatherer.answered(id, path);
  if (request === undefined) {
    host.drop('unknown-transaction', message.toString());
    return;
  }
  host.gathered(request.context, message, now);
}
