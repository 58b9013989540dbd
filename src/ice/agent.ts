import {
  DropCounters,
  type FiveTuple,
  type Instant,
  NEVER,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
  UsageError,
} from '../core/index.ts';
import type { IceCandidate } from './candidate.ts';
import type {
  HostCandidateOptions,
  IceAgentOptions,
  IceConnectionState,
  IceEvent,
  IceGatheringState,
  IceParameters,
  IceRole,
  IceStats,
  RelayedCandidateOptions,
} from './types.ts';

/** Signatures as agreed; the body follows within the hour. */
export class IceAgent implements SansIo<IceEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly localParameters: IceParameters;
  role: IceRole;
  gatheringState: IceGatheringState = 'new';
  connectionState: IceConnectionState = 'new';
  selectedPath: FiveTuple | undefined;

  constructor(options: IceAgentOptions) {
    this.role = options.role;
    this.localParameters = { ufrag: options.ufrag ?? '', pwd: options.pwd ?? '' };
  }

  setRole(role: IceRole): void {
    this.role = role;
  }

  setRemoteParameters(_parameters: IceParameters, _now: Instant): void {
    throw new UsageError('not yet');
  }

  addHostCandidate(_base: TransportAddress, _now: Instant, _options?: HostCandidateOptions): void {
    throw new UsageError('not yet');
  }

  addStunServer(_server: TransportAddress, _now: Instant): void {
    throw new UsageError('not yet');
  }

  addRelayedCandidate(
    _relayed: TransportAddress,
    _relatedAddress: TransportAddress,
    _options: RelayedCandidateOptions,
    _now: Instant,
  ): void {
    throw new UsageError('not yet');
  }

  endOfLocalCandidates(_now: Instant): void {
    throw new UsageError('not yet');
  }

  addRemoteCandidate(_candidate: IceCandidate, _now: Instant): void {
    throw new UsageError('not yet');
  }

  /** The answer to a `resolve` event; an empty list when the name has no address. */
  addResolved(_hostname: string, _addresses: readonly string[], _now: Instant): void {
    throw new UsageError('not yet');
  }

  endOfRemoteCandidates(_now: Instant): void {
    throw new UsageError('not yet');
  }

  restart(_now: Instant, _parameters?: { readonly ufrag?: string; readonly pwd?: string }): void {
    throw new UsageError('not yet');
  }

  close(_now: Instant): void {
    throw new UsageError('not yet');
  }

  acceptsData(_path: FiveTuple): boolean {
    return false;
  }

  noteDataSent(_path: FiveTuple, _bytes: number): void {
    throw new UsageError('not yet');
  }

  noteDataReceived(_path: FiveTuple, _bytes: number): void {
    throw new UsageError('not yet');
  }

  stats(): IceStats {
    throw new UsageError('not yet');
  }

  handleInput(_bytes: Uint8Array, _path: FiveTuple, _now: Instant): void {
    this.drops.count('bad-state');
  }

  handleTimeout(_now: Instant): void {
    this.drops.count('bad-state');
  }

  pollTransmit(_slot: TransmitSlot<FiveTuple>, _now: Instant): boolean {
    return false;
  }

  pollEvent(): IceEvent | undefined {
    return undefined;
  }

  nextTimeout(): Instant {
    return NEVER;
  }
}
