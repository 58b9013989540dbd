import { ByteWriter, EMPTY, type TransportAddress } from '../../src/core/index.ts';
import type { IceParameters, IceRole } from '../../src/ice/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import {
  type IntegrityAlgorithm,
  IntegrityKey,
  STUN_METHODS,
  type StunAttribute,
  type StunClass,
  type StunErrorCode,
  StunWriter,
  shortTermKey,
  stunError,
} from '../../src/stun/index.ts';
import type { SeededRandom } from '../sim/index.ts';

/** What a hand-made check says; everything has a default that a correct agent accepts. */
export interface HandMadeCheck {
  /** Of the agent that receives it. */
  readonly to: IceParameters;
  /** The sender's ufrag. */
  readonly from?: string;
  readonly pwd?: string | undefined;
  readonly role?: IceRole;
  readonly tieBreaker?: bigint;
  readonly priority?: number;
  readonly useCandidate?: boolean;
  readonly fingerprint?: boolean;
  readonly integrity?: boolean;
  readonly extra?: readonly StunAttribute[];
  /** The type of an empty attribute that no registry knows. */
  readonly rawType?: number;
  /** Default: SHA-1, as RFC 8445 peers send. */
  readonly algorithms?: readonly IntegrityAlgorithm[];
}

export function checkBytes(random: SeededRandom, check: HandMadeCheck): Uint8Array {
  const attributes: StunAttribute[] = [
    ['USERNAME', `${check.to.ufrag}:${check.from ?? 'peer'}`],
    ['PRIORITY', check.priority ?? 1_853_817_087],
    [check.role === 'controlled' ? 'ICE-CONTROLLED' : 'ICE-CONTROLLING', check.tieBreaker ?? 1n],
    ...(check.useCandidate ? ([['USE-CANDIDATE', true]] as const) : []),
    ...(check.extra ?? []),
  ];
  const w = new StunWriter(new ByteWriter(new Uint8Array(600)), 'request', STUN_METHODS.Binding, random.bytes(12));
  for (const [name, value] of attributes) w.add(name, value);
  if (check.rawType !== undefined) w.addRaw(check.rawType, EMPTY);
  const key = new IntegrityKey(nodeCrypto, shortTermKey(check.pwd ?? check.to.pwd));
  if (check.integrity !== false) for (const algorithm of check.algorithms ?? ['sha-1']) w.addIntegrity(key, algorithm);
  if (check.fingerprint !== false) w.addFingerprint();
  return w.written().slice();
}

export interface HandMadeResponse {
  readonly transactionId: Uint8Array;
  readonly messageClass?: StunClass;
  readonly pwd?: string;
  readonly mapped?: TransportAddress;
  readonly code?: StunErrorCode;
  /** The type of an empty attribute that no registry knows. */
  readonly rawType?: number;
  /** Default: SHA-1. */
  readonly algorithms?: readonly IntegrityAlgorithm[];
}

export function responseBytes(response: HandMadeResponse): Uint8Array {
  const messageClass = response.messageClass ?? (response.code === undefined ? 'success' : 'error');
  const w = new StunWriter(
    new ByteWriter(new Uint8Array(600)),
    messageClass,
    STUN_METHODS.Binding,
    response.transactionId,
  );
  if (response.mapped !== undefined) w.add('XOR-MAPPED-ADDRESS', response.mapped);
  if (response.code !== undefined) w.add('ERROR-CODE', stunError(response.code));
  if (response.rawType !== undefined) w.addRaw(response.rawType, EMPTY);
  if (response.pwd !== undefined) {
    const key = new IntegrityKey(nodeCrypto, shortTermKey(response.pwd));
    for (const algorithm of response.algorithms ?? ['sha-1']) w.addIntegrity(key, algorithm);
  }
  return w.addFingerprint().written().slice();
}
