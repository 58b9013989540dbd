import {
  DecodeError,
  DropCounters,
  type DropReason,
  type Env,
  type Instant,
  Ring,
  type SansIo,
  type TransmitSlot,
} from '../core/index.ts';
import { decodeClientMessage, encodeServerMessage } from './codec.ts';
import { resolveLimits, type SignalingLimits } from './limits.ts';
import {
  CLOSE_CODES,
  type ClientMessage,
  type ErrorCode,
  type LeaveReason,
  type PeerInfo,
  type ServerMessage,
} from './messages.ts';

/** Given by the shell, one per connection, never used again after it closed. */
export type ConnectionId = number;

export type SignalingServerEvent =
  /** End this connection after what was sent to it; the core has forgotten it already. */
  | {
      readonly type: 'hang-up';
      readonly connection: ConnectionId;
      readonly closeCode: number;
      readonly reason: ErrorCode;
    }
  | {
      readonly type: 'joined';
      readonly connection: ConnectionId;
      readonly room: string;
      readonly peer: PeerInfo;
      /** In the room, with this one. */
      readonly peers: number;
    }
  | {
      readonly type: 'left';
      readonly connection: ConnectionId;
      readonly room: string;
      readonly peer: PeerInfo;
      readonly reason: LeaveReason;
      /** Left in the room. */
      readonly peers: number;
    };

interface Member {
  readonly connection: Connection;
  readonly peer: PeerInfo;
}

interface Room {
  readonly name: string;
  /** By peer id, in the order they came. */
  readonly members: Map<string, Member>;
}

interface Connection {
  readonly id: ConnectionId;
  /** The last message or sign of life, or the opening. */
  heardAt: Instant;
  /** Since when it is outside a room; meaningless inside. */
  outsideSince: Instant;
  /** Token bucket: messages it may send now, as of `tokensAt`. */
  tokens: number;
  tokensAt: Instant;
  seat: { readonly room: Room; readonly peer: PeerInfo } | undefined;
}

/**
 * The server of docs/signaling.md: rooms, who is in them, and relaying between two of the same room.
 *
 * The flow of one connection: `handleOpen` → (`join` → `welcome` → relayed messages → `leave`)* → `handleClose`, or a
 * `hang-up` event when it broke a rule. One datagram of `handleInput` and of `pollTransmit` is one WebSocket text message.
 */
export class SignalingServer implements SansIo<SignalingServerEvent, ConnectionId> {
  readonly limits: SignalingLimits;
  readonly drops: DropCounters = new DropCounters();
  readonly #env: Env;
  readonly #rooms = new Map<string, Room>();
  readonly #connections = new Map<ConnectionId, Connection>();
  // Both are kept in the order of their instants, so that the first entry has the next deadline.
  readonly #byHeard = new Set<Connection>();
  readonly #outside = new Set<Connection>();
  readonly #out = new Ring<{ readonly to: ConnectionId; readonly bytes: Uint8Array }>();
  readonly #events = new Ring<SignalingServerEvent>();
  #closed = false;

  /** @throws {UsageError} when a limit is out of its range. */
  constructor(options: { readonly env: Env; readonly limits?: Partial<SignalingLimits> }) {
    this.#env = options.env;
    this.limits = resolveLimits(options.limits);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** The rooms that have somebody in them, with who that is. */
  rooms(): readonly { readonly name: string; readonly peers: readonly PeerInfo[] }[] {
    return [...this.#rooms.values()].map((room) => ({ name: room.name, peers: peersOf(room) }));
  }

  handleOpen(id: ConnectionId, now: Instant): void {
    const refusal = this.#closed ? 'shutting-down' : this.#connections.size >= this.limits.maxConnections;
    if (refusal !== false) {
      const code = refusal === true ? 'server-full' : refusal;
      this.#drop(refusal === true ? 'limit' : 'closed', `connection ${id}: ${code}`);
      this.#refuse(id, code, code);
      this.#events.push({ type: 'hang-up', connection: id, closeCode: CLOSE_CODES[code] ?? 1000, reason: code });
      return;
    }
    const connection: Connection = {
      id,
      heardAt: now,
      outsideSince: now,
      tokens: this.limits.messageBurst,
      tokensAt: now,
      seat: undefined,
    };
    this.#connections.set(id, connection);
    this.#byHeard.add(connection);
    this.#outside.add(connection);
  }

  /** The connection ended by itself. Unknown ones, such as those hung up on, are ignored. */
  handleClose(id: ConnectionId, _now: Instant): void {
    const connection = this.#connections.get(id);
    if (connection !== undefined) this.#forget(connection);
  }

  /**
   * The connection shows in a way of its own, as a WebSocket does by pongs (RFC 6455 §5.5.3), that the other end is there. Browsers
   * answer pings also where they hold back a page's timers, and with them its `ping`. Unknown connections are ignored.
   */
  handleAlive(id: ConnectionId, now: Instant): void {
    const connection = this.#connections.get(id);
    if (connection !== undefined) this.#heard(connection, now);
  }

  handleInput(bytes: Uint8Array, id: ConnectionId, now: Instant): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) {
      this.#drop('unknown-path', `connection ${id}`);
      return;
    }
    this.#heard(connection, now);
    if (!this.#takeToken(connection, now)) {
      this.#drop('rate-limited', `connection ${id}`);
      this.#hangUp(connection, 'rate-limited', `more than ${this.limits.messagesPerSecond} messages a second`);
      return;
    }
    if (bytes.length > this.limits.maxMessageBytes) {
      this.#drop('limit', `${bytes.length} bytes`);
      this.#hangUp(connection, 'bad-message', `longer than ${this.limits.maxMessageBytes} bytes`);
      return;
    }
    let message: ClientMessage;
    try {
      message = decodeClientMessage(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
      if (error.reason === 'bad-type') {
        this.#refuse(id, 'unknown-type', 'this server does not know that type');
        return;
      }
      this.#hangUp(connection, 'bad-message', `${error.field}: ${error.reason}`);
      return;
    }
    this.#act(connection, message, now);
  }

  handleTimeout(now: Instant): void {
    for (const connection of this.#outside) {
      if (connection.outsideSince + this.limits.joinTimeoutMs > now) break;
      this.#hangUp(connection, 'join-timeout', `in no room for ${this.limits.joinTimeoutMs} ms`);
    }
    for (const connection of this.#byHeard) {
      if (connection.heardAt + this.limits.idleTimeoutMs > now) break;
      this.#hangUp(connection, 'idle', `silent for ${this.limits.idleTimeoutMs} ms`);
    }
  }

  nextTimeout(): Instant {
    let next = Number.POSITIVE_INFINITY;
    for (const connection of this.#outside) {
      next = connection.outsideSince + this.limits.joinTimeoutMs;
      break;
    }
    for (const connection of this.#byHeard) {
      next = Math.min(next, connection.heardAt + this.limits.idleTimeoutMs);
      break;
    }
    return next;
  }

  pollTransmit(slot: TransmitSlot<ConnectionId>, _now: Instant): boolean {
    const next = this.#out.shift();
    if (next === undefined) return false;
    slot.buffer.set(next.bytes, slot.offset);
    slot.length = next.bytes.length;
    slot.path = next.to;
    return true;
  }

  pollEvent(): SignalingServerEvent | undefined {
    return this.#events.shift();
  }

  /** Tells everybody and hangs up. Connections that open later are refused. */
  close(_now: Instant): void {
    this.#closed = true;
    for (const connection of [...this.#connections.values()]) {
      this.#hangUp(connection, 'shutting-down', 'the server ends');
    }
  }

  #act(connection: Connection, message: ClientMessage, now: Instant): void {
    switch (message.type) {
      case 'join':
        this.#join(connection, message.room, message.name);
        return;
      case 'leave': {
        if (connection.seat === undefined) {
          this.#misplaced(connection, 'not-joined', 'leave outside a room');
          return;
        }
        this.#vacate(connection, 'left');
        connection.outsideSince = now;
        this.#outside.add(connection);
        return;
      }
      case 'ping':
        this.#send(connection.id, { type: 'pong', id: message.id });
        return;
      case 'description':
      case 'candidate':
        this.#relay(connection, message);
        return;
    }
  }

  #join(connection: Connection, name: string, peerName: string): void {
    if (connection.seat !== undefined) {
      this.#misplaced(connection, 'already-joined', 'leave the room first');
      return;
    }
    let room = this.#rooms.get(name);
    if (room === undefined) {
      if (this.#rooms.size >= this.limits.maxRooms) {
        this.#drop('limit', 'rooms');
        this.#refuse(connection.id, 'too-many-rooms', `this server has ${this.limits.maxRooms} rooms already`);
        return;
      }
      room = { name, members: new Map() };
      this.#rooms.set(name, room);
    } else if (room.members.size >= this.limits.maxPeersPerRoom) {
      this.#drop('limit', 'peers of a room');
      this.#refuse(connection.id, 'room-full', `${this.limits.maxPeersPerRoom} peers are in it already`);
      return;
    }
    const peer: PeerInfo = { id: this.#drawPeerId(room), name: peerName };
    this.#send(connection.id, { type: 'welcome', id: peer.id, room: name, peers: peersOf(room) });
    for (const member of room.members.values()) this.#send(member.connection.id, { type: 'peer-joined', peer });
    room.members.set(peer.id, { connection, peer });
    connection.seat = { room, peer };
    this.#outside.delete(connection);
    this.#events.push({
      type: 'joined',
      connection: connection.id,
      room: name,
      peer,
      peers: room.members.size,
    });
  }

  #relay(connection: Connection, message: ClientMessage & { readonly type: 'description' | 'candidate' }): void {
    const seat = connection.seat;
    if (seat === undefined) {
      this.#misplaced(connection, 'not-joined', `${message.type} outside a room`);
      return;
    }
    const target = seat.room.members.get(message.to);
    if (target === undefined || target.connection === connection) {
      this.#drop('unknown-peer', message.type);
      this.#refuse(connection.id, 'unknown-peer', 'nobody else in this room has that id', message.to);
      return;
    }
    const from = seat.peer.id;
    if (message.type === 'description') {
      this.#send(target.connection.id, { type: 'description', from, description: message.description });
    } else {
      this.#send(target.connection.id, { type: 'candidate', from, candidate: message.candidate });
    }
  }

  /** A message at the wrong time. */
  #misplaced(connection: Connection, code: ErrorCode, why: string): void {
    this.#drop('bad-state', `${code}: ${why}`);
    this.#refuse(connection.id, code, why);
  }

  #refuse(id: ConnectionId, code: ErrorCode, message: string, to?: string): void {
    this.#send(id, to === undefined ? { type: 'error', code, message } : { type: 'error', code, message, to });
  }

  #hangUp(connection: Connection, code: ErrorCode, message: string): void {
    this.#refuse(connection.id, code, message);
    this.#forget(connection);
    this.#events.push({
      type: 'hang-up',
      connection: connection.id,
      closeCode: CLOSE_CODES[code] ?? 1000,
      reason: code,
    });
  }

  #heard(connection: Connection, now: Instant): void {
    connection.heardAt = now;
    this.#byHeard.delete(connection);
    this.#byHeard.add(connection);
  }

  #forget(connection: Connection): void {
    if (connection.seat !== undefined) this.#vacate(connection, 'lost');
    this.#connections.delete(connection.id);
    this.#byHeard.delete(connection);
    this.#outside.delete(connection);
  }

  #vacate(connection: Connection, reason: LeaveReason): void {
    const seat = connection.seat;
    if (seat === undefined) return;
    const { room, peer } = seat;
    connection.seat = undefined;
    room.members.delete(peer.id);
    if (room.members.size === 0) this.#rooms.delete(room.name);
    for (const member of room.members.values()) {
      this.#send(member.connection.id, { type: 'peer-left', id: peer.id, reason });
    }
    this.#events.push({
      type: 'left',
      connection: connection.id,
      room: room.name,
      peer,
      reason,
      peers: room.members.size,
    });
  }

  #takeToken(connection: Connection, now: Instant): boolean {
    const earned = ((now - connection.tokensAt) * this.limits.messagesPerSecond) / 1000;
    connection.tokens = Math.min(connection.tokens + earned, this.limits.messageBurst);
    connection.tokensAt = now;
    if (connection.tokens < 1) return false;
    connection.tokens--;
    return true;
  }

  #drawPeerId(room: Room): string {
    const bytes = new Uint8Array(8);
    for (;;) {
      this.#env.random(bytes);
      const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
      if (!room.members.has(id)) return id;
    }
  }

  #send(to: ConnectionId, message: ServerMessage): void {
    this.#out.push({ to, bytes: encodeServerMessage(message) });
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#env.trace.drop('signaling-server', reason, detail);
  }
}

function peersOf(room: Room): PeerInfo[] {
  return [...room.members.values()].map((member) => member.peer);
}
