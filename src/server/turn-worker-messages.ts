import type { TransportAddress } from '../core/index.ts';
import type { TurnServerStats } from '../turn/index.ts';
import type { LogEntry } from './log.ts';
import type { PemCertificate } from './turn-connections.ts';
import type { TurnShellStats } from './turn-metrics.ts';
import type { TurnServerOptions } from './turn-server.ts';

/** Most worker processes of one server: tokens and tickets name theirs in one byte. */
export const MAX_TURN_WORKERS = 255;

/** The largest UDP payload over IPv4. */
const MAX_DATAGRAM_BYTES = 65_507;

/** What a process is started with can be copied to another one: no functions, no log, no platform. */
export type TurnWorkerOptions = Omit<
  TurnServerOptions,
  'findUser' | 'log' | 'platform' | 'env' | 'certificate' | 'fleet' | 'nonceSecret'
>;

/** How a worker comes to its options: as they are, or from what `purertc turn-server` was told (`planTurnServer`). */
export type TurnWorkerSource =
  | { readonly type: 'options'; readonly options: TurnWorkerOptions }
  | {
      readonly type: 'settings';
      readonly settings: readonly (readonly [name: string, values: readonly string[]])[];
      readonly addresses: readonly string[];
      readonly hostName: string;
    };

/** Relayed ports of one member, inclusive. */
export interface PortSlice {
  readonly minPort: number;
  readonly maxPort: number;
}

/** A datagram with where it came from, or goes to. */
export interface CarriedDatagram {
  readonly local: TransportAddress;
  readonly remote: TransportAddress;
  readonly bytes: Uint8Array;
}

/** What every member tells of itself. */
export interface TurnMemberStats {
  readonly core: TurnServerStats;
  readonly shell: TurnShellStats;
  readonly drops: Readonly<Record<string, number | undefined>>;
}

export type ToWorker =
  | {
      readonly type: 'start';
      readonly member: number;
      /** By member; undefined for one that relays nothing. */
      readonly slices: readonly (PortSlice | undefined)[];
      readonly source: TurnWorkerSource;
      readonly nonceSecret: Uint8Array;
      readonly certificate: PemCertificate | undefined;
      readonly ownAddresses: readonly string[];
    }
  /** Ports of all members on the loopback address, over which they hand each other data. */
  | { readonly type: 'trunks'; readonly ports: readonly (number | undefined)[] }
  /** A client that has proved who it is, or one of the worker's own. `quotaKey`: one more allocation is counted already. */
  | (CarriedDatagram & { readonly type: 'client'; readonly quotaKey?: string | undefined })
  /** With the socket. */
  | { readonly type: 'stream' }
  | { readonly type: 'admitted'; readonly admission: number; readonly allowed: boolean }
  | { readonly type: 'own-address'; readonly ip: string }
  | { readonly type: 'certificate'; readonly certificate: PemCertificate }
  | { readonly type: 'ask-stats' | 'close'; readonly question: number }
  | { readonly type: 'drain' };

/** What a worker has to tell, once for each turn of its loop. */
export interface WorkerReport {
  readonly log: readonly LogEntry[];
  readonly quota: readonly (readonly [quotaKey: string, change: 1 | -1])[];
  /** UDP clients that it serves no more. */
  readonly gone: readonly { readonly local: TransportAddress; readonly remote: TransportAddress }[];
}

export type FromWorker =
  | { readonly type: 'ready'; readonly trunkPort: number }
  | { readonly type: 'failed'; readonly reason: string }
  | (WorkerReport & { readonly type: 'report' })
  | { readonly type: 'ask-admission'; readonly admission: number; readonly quotaKey: string }
  /** To be sent from the socket that listens there. */
  | (CarriedDatagram & { readonly type: 'send' })
  /** A datagram of somebody else, which has come to a client's socket before it was connected. */
  | (CarriedDatagram & { readonly type: 'stray' })
  | { readonly type: 'stats'; readonly question: number; readonly stats: TurnMemberStats }
  | { readonly type: 'drained' };

/** Cuts a range of ports into slices of neighbours, each of which begins with an even port (RFC 8656 §7.2: EVEN-PORT). */
export function slicePorts(minPort: number, maxPort: number, count: number): PortSlice[] | undefined {
  const first = minPort + (minPort % 2);
  const size = Math.floor((maxPort + 1 - first) / count / 2) * 2;
  if (size < 2) return undefined;
  return Array.from({ length: count }, (_, i) => ({
    minPort: i === 0 ? minPort : first + i * size,
    maxPort: i === count - 1 ? maxPort : first + (i + 1) * size - 1,
  }));
}

/**
 * `totalRate` in equal shares: what one member does not need, the others do not get. A share lets at least the largest
 * datagram through.
 */
export function shareOfRate(
  { totalRate }: Pick<TurnServerOptions, 'totalRate'>,
  slices: readonly (PortSlice | undefined)[],
): Pick<TurnServerOptions, 'totalRate'> {
  if (totalRate === undefined) return {};
  const shares = slices.filter((slice) => slice !== undefined).length;
  const burst = Math.max(totalRate.burst / shares, MAX_DATAGRAM_BYTES);
  return { totalRate: { perSecond: totalRate.perSecond / shares, burst } };
}

/** Which member has that relayed port. */
export function memberOfPort(slices: readonly (PortSlice | undefined)[], port: number): number | undefined {
  for (let member = 0; member < slices.length; member++) {
    const slice = slices[member];
    if (slice !== undefined && port >= slice.minPort && port <= slice.maxPort) return member;
  }
  return undefined;
}
