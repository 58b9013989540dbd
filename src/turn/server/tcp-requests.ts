import { ipFamily } from '../../core/index.ts';
import { type StunAttribute, type StunErrorCode, stunError } from '../../stun/index.ts';
import type { PeerPolicy } from './address-policy.ts';
import { type Allocation, isStream } from './allocation.ts';
import type { PeerConnection, PeerConnections } from './peer-connections.ts';
import type { RelayTable } from './relay-table.ts';
import { answerTo, type Context, type Responder } from './responder.ts';

/** What the requests of TCP relays work on. */
export interface TcpRequestRooms {
  readonly policy: PeerPolicy;
  readonly relays: RelayTable;
  readonly connections: PeerConnections;
}

/** The requests of TCP relays (RFC 6062 §5.2, §5.4), from clients that have proved who they are. */
export class TcpRequests {
  readonly #rooms: TcpRequestRooms;
  readonly #responder: Responder;

  constructor(rooms: TcpRequestRooms, responder: Responder) {
    this.#rooms = rooms;
    this.#responder = responder;
  }

  handleConnect(context: Context, allocation: Allocation): void {
    const code = this.#connect(context, allocation);
    if (code !== undefined) this.#responder.reject(context, code);
  }

  /** RFC 6062 §5.2. @returns an error; undefined when the answer comes with the connection. */
  #connect(context: Context, allocation: Allocation): StunErrorCode | undefined {
    const peer = context.message.get('XOR-PEER-ADDRESS');
    if (allocation.transport !== 'tcp') return 437;
    if (peer === undefined || peer.port === 0) return 400;
    const relay = allocation.relayOf(ipFamily(peer.ip));
    if (relay === undefined) return 443;
    const verdict = this.#rooms.policy.verdict(peer.ip);
    const isRelay = verdict === 'own' && this.#rooms.relays.atExternal(peer)?.allocation?.transport === 'tcp';
    if (verdict !== 'allowed' && !isRelay) return 403;
    return this.#rooms.connections.connect(allocation, relay, peer, answerTo(context), context.now);
  }

  /** The connection to a peer stands, or could not be made: 447. */
  answerConnect(connection: PeerConnection, succeeded: boolean): void {
    const { allocation, answer, id } = connection;
    if (answer === undefined || allocation.state !== 'open') return;
    const signer = { key: allocation.key, algorithm: answer.algorithm };
    if (!succeeded) this.#responder.count(447);
    const attribute: StunAttribute = succeeded ? ['CONNECTION-ID', id] : ['ERROR-CODE', stunError(447)];
    this.#responder.write(answer, allocation.path, succeeded ? 'success' : 'error', [attribute], signer);
  }

  /** RFC 6062 §5.4, on a connection of its own. */
  handleConnectionBind(context: Context, here: Allocation | undefined): void {
    const { message, path, user } = context;
    const id = message.get('CONNECTION-ID');
    const connection = id === undefined ? undefined : this.#rooms.connections.pending(id);
    if (!isStream(path) || here !== undefined || connection === undefined) {
      this.#responder.reject(context, 400);
    } else if (connection.allocation.username !== user.username) {
      this.#responder.reject(context, 441);
    } else {
      this.#responder.accept(context, []);
      this.#rooms.connections.bind(connection, path);
    }
  }
}
