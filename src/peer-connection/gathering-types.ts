import type { Platform, TransportAddress } from '../core/index.ts';
import type { PurertcOptions } from './configuration.ts';
import type { IceNames } from './ice-names.ts';
import type { PeerTransport } from './peer-transport.ts';
import type { SocketHost } from './socket-host.ts';
import type { PeerTransportEvent } from './transport-types.ts';

/** W3C RTCPeerConnectionIceErrorEvent: "no host candidate can reach the server". */
export const SERVER_UNREACHABLE = 701;

/** A server that could not be used, for `icecandidateerror`. */
export interface GatheringError {
  readonly url: string;
  readonly code: number;
  readonly text: string;
  /** The local address it was asked from, where one was. */
  readonly local: TransportAddress | undefined;
}

export interface GathererOptions {
  readonly platform: Platform;
  readonly transport: PeerTransport;
  readonly host: SocketHost<PeerTransportEvent>;
  readonly options: PurertcOptions;
  readonly names: IceNames;
  readonly onError: (error: GatheringError) => void;
}
