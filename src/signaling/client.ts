import {
  DecodeError,
  DropCounters,
  type DropReason,
  type Env,
  type Instant,
  Ring,
  type SansIo,
  TimerTable,
  type TransmitSlot,
  UsageError,
} from '../core/index.ts';
import { decodeServerMessage, encodeClientMessage, isLabel } from './codec.ts';
import { MAX_MESSAGE_BYTES, MAX_NAME_CHARACTERS, MAX_PING_ID, MAX_ROOM_CHARACTERS } from './limits.ts';
import type {
  ClientMessage,
  ErrorCode,
  LeaveReason,
  PeerInfo,
  RelayedCandidate,
  RelayedDescription,
  ServerMessage,
} from './messages.ts';

/**
 * `idle`: nothing asked for yet, or left. `dialing`: the shell opens a connection. `joining`: asked for the room.
 * `joined`: in it. `outside`: connected, in no room. `waiting`: to dial again. `closed`: for good.
 */
export type SignalingClientState = 'idle' | 'dialing' | 'joining' | 'joined' | 'outside' | 'waiting' | 'closed';

const MOVES: Readonly<Record<SignalingClientState, readonly SignalingClientState[]>> = {
  idle: ['dialing', 'closed'],
  dialing: ['joining', 'waiting', 'closed'],
  joining: ['joined', 'outside', 'waiting', 'closed'],
  joined: ['outside', 'waiting', 'closed'],
  outside: ['joining', 'idle', 'closed'],
  waiting: ['dialing', 'idle', 'closed'],
  closed: [],
};

export type SignalingClientEvent =
  /** Open a connection, then call `handleOpen`, or `handleClose` when that fails. */
  | { readonly type: 'dial' }
  /** End the connection after what was sent; the core has forgotten it: do not report its end. */
  | { readonly type: 'hang-up'; readonly reason: string }
  | { readonly type: 'state'; readonly state: SignalingClientState; readonly reason: string }
  /** In the room. Peers known from an earlier connection are void: everybody has a new id. */
  | { readonly type: 'welcome'; readonly id: string; readonly room: string; readonly peers: readonly PeerInfo[] }
  | { readonly type: 'peer-joined'; readonly peer: PeerInfo }
  | { readonly type: 'peer-left'; readonly id: string; readonly reason: LeaveReason }
  | { readonly type: 'description'; readonly from: string; readonly description: RelayedDescription }
  | { readonly type: 'candidate'; readonly from: string; readonly candidate: RelayedCandidate | null }
  /** The server refused something; `to` is the peer that a refused relay was meant for. */
  | { readonly type: 'error'; readonly code: ErrorCode; readonly message: string; readonly to?: string };

export interface SignalingClientOptions {
  readonly env: Env;
  /** First wait before dialing again. Default 500. */
  readonly backoffMs?: number;
  /** Longest wait. Default 30,000. */
  readonly maxBackoffMs?: number;
  /** Connections lost or refused in a row before it gives up (`closed`). Default: never. */
  readonly maxAttempts?: number;
  /** Longest time for opening, and for the answer to `join`. Default 10,000. */
  readonly answerTimeoutMs?: number;
  /** Silence of the server before a `ping`. Default 20,000. */
  readonly keepaliveMs?: number;
  /** Silence after the `ping` before the connection counts as dead. Default 10,000. */
  readonly pongTimeoutMs?: number;
}

/** A connection must have lasted this long in a room before the next loss starts at the shortest wait again. */
const STABLE_MS = 10_000;

/** Messages waiting for a shell that does not poll. */
const MAX_QUEUED_MESSAGES = 1024;

type TimerName = 'answer' | 'redial' | 'ping' | 'pong' | 'stable';

/**
 * The client of docs/signaling.md. Keeps one membership of one room: when the connection breaks it dials again with
 * exponential backoff and joins again.
 *
 * The flow: `join` → event `dial` → `handleOpen` → `welcome` → relayed messages → `leave` or `close`.
 */
export class SignalingClient implements SansIo<SignalingClientEvent, void> {
  readonly drops: DropCounters = new DropCounters();
  readonly #env: Env;
  readonly #options: Required<Omit<SignalingClientOptions, 'env'>>;
  readonly #timers = new TimerTable<TimerName>();
  readonly #out = new Ring<Uint8Array>(MAX_QUEUED_MESSAGES);
  readonly #events = new Ring<SignalingClientEvent>();
  #state: SignalingClientState = 'idle';
  #wanted: { readonly room: string; readonly name: string } | undefined;
  #id: string | undefined;
  #attempts = 0;
  #pingId = 0;

  constructor(options: SignalingClientOptions) {
    this.#env = options.env;
    this.#options = {
      backoffMs: options.backoffMs ?? 500,
      maxBackoffMs: options.maxBackoffMs ?? 30_000,
      maxAttempts: options.maxAttempts ?? Number.POSITIVE_INFINITY,
      answerTimeoutMs: options.answerTimeoutMs ?? 10_000,
      keepaliveMs: options.keepaliveMs ?? 20_000,
      pongTimeoutMs: options.pongTimeoutMs ?? 10_000,
    };
  }

  get state(): SignalingClientState {
    return this.#state;
  }

  /** Own peer id; undefined outside a room. */
  get id(): string | undefined {
    return this.#id;
  }

  /**
   * Enters a room, and enters it again after each loss of the connection.
   * @throws {UsageError} in a room or on the way into one, after `close`, and for names that docs/signaling.md does not allow.
   */
  join(room: string, name: string, now: Instant): void {
    if (!isLabel(room, 1, MAX_ROOM_CHARACTERS)) throw new UsageError('a room has 1 to 64 characters, none of control');
    if (!isLabel(name, 0, MAX_NAME_CHARACTERS))
      throw new UsageError('a name has at most 64 characters, none of control');
    if (this.#state !== 'idle' && this.#state !== 'outside') throw new UsageError(`join while ${this.#state}`);
    this.#wanted = { room, name };
    if (this.#state === 'idle') this.#dial('join', now);
    else this.#askForRoom('join', now);
  }

  /** Leaves the room; the connection stays for another `join` until the server's time for that is over. */
  leave(now: Instant): void {
    if (this.#state === 'waiting') {
      this.#wanted = undefined;
      this.#timers.cancelAll();
      this.#move('idle', 'leave');
      return;
    }
    if (this.#state !== 'joined') throw new UsageError(`leave while ${this.#state}`);
    this.#wanted = undefined;
    this.#send({ type: 'leave' });
    this.#goOutside('leave', now);
  }

  /** @throws {UsageError} outside a room. */
  sendDescription(to: string, description: RelayedDescription): void {
    this.#requireJoined();
    const { type, sdp } = description;
    this.#send({ type: 'description', to, description: { type, sdp } });
  }

  /** @param candidate - null: there are no more. @throws {UsageError} outside a room. */
  sendCandidate(to: string, candidate: RelayedCandidate | null): void {
    this.#requireJoined();
    this.#send({ type: 'candidate', to, candidate });
  }

  /** Leaves and ends the connection for good. Idempotent. */
  close(_now: Instant): void {
    if (this.#state === 'closed') return;
    if (this.#state === 'joined') this.#send({ type: 'leave' });
    this.#end('close');
  }

  /** The shell's connection is open. */
  handleOpen(now: Instant): void {
    if (this.#state !== 'dialing') return;
    this.#askForRoom('open', now);
  }

  /** The shell's connection ended, or could not be opened. `reason` is for people. */
  handleClose(now: Instant, reason: string): void {
    if (this.#isConnected() || this.#state === 'dialing') this.#lost(reason, now);
  }

  handleInput(bytes: Uint8Array, _path: undefined, now: Instant): void {
    if (!this.#isConnected()) {
      this.#drop('bad-state', `a message while ${this.#state}`);
      return;
    }
    this.#heard(now);
    let message: ServerMessage;
    try {
      message = decodeServerMessage(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#drop(error.reason, error.message);
      return;
    }
    this.#act(message, now);
  }

  handleTimeout(now: Instant): void {
    for (let timer = this.#timers.due(now); timer !== undefined; timer = this.#timers.due(now)) {
      switch (timer.name) {
        case 'answer':
          this.#hangUpAndRetry(this.#state === 'dialing' ? 'no connection in time' : 'no answer to join', now);
          break;
        case 'redial':
          this.#dial('backoff is over', now);
          break;
        case 'ping':
          this.#pingId = this.#pingId === MAX_PING_ID ? 1 : this.#pingId + 1;
          this.#send({ type: 'ping', id: this.#pingId });
          this.#timers.arm('pong', timer.deadline + this.#options.pongTimeoutMs);
          break;
        case 'pong':
          this.#hangUpAndRetry('the server is silent', now);
          break;
        case 'stable':
          this.#attempts = 0;
          break;
      }
    }
  }

  nextTimeout(): Instant {
    return this.#timers.next();
  }

  pollTransmit(slot: TransmitSlot<void>, _now: Instant): boolean {
    const next = this.#out.shift();
    if (next === undefined) return false;
    slot.buffer.set(next, slot.offset);
    slot.length = next.length;
    return true;
  }

  pollEvent(): SignalingClientEvent | undefined {
    return this.#events.shift();
  }

  #act(message: ServerMessage, now: Instant): void {
    if (message.type === 'pong') return; // hearing it was all
    if (message.type === 'error') {
      this.#events.push(message);
      if (this.#state === 'joining') {
        this.#wanted = undefined; // asking again at once would be refused again: the application decides
        this.#goOutside(message.code, now);
      }
      return;
    }
    if (message.type === 'welcome') {
      if (this.#state !== 'joining') {
        this.#drop('bad-state', `welcome while ${this.#state}`);
        return;
      }
      this.#id = message.id;
      this.#timers.cancel('answer');
      this.#timers.arm('stable', now + STABLE_MS);
      this.#move('joined', 'welcome');
      this.#events.push(message);
      return;
    }
    // Behind a leave, messages of the old room are still on the way.
    if (this.#state !== 'joined') {
      this.#drop('stale', `${message.type} while ${this.#state}`);
      return;
    }
    this.#events.push(message);
  }

  #dial(why: string, now: Instant): void {
    this.#move('dialing', why);
    this.#timers.arm('answer', now + this.#options.answerTimeoutMs);
    this.#events.push({ type: 'dial' });
  }

  #askForRoom(why: string, now: Instant): void {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    this.#move('joining', why);
    this.#timers.arm('answer', now + this.#options.answerTimeoutMs);
    this.#heard(now);
    this.#send({ type: 'join', ...wanted });
  }

  #goOutside(why: string, now: Instant): void {
    this.#id = undefined;
    this.#timers.cancel('answer');
    this.#timers.cancel('stable');
    this.#heard(now);
    this.#move('outside', why);
  }

  /** Anything from the server proves that it lives. */
  #heard(now: Instant): void {
    this.#timers.cancel('pong');
    this.#timers.arm('ping', now + this.#options.keepaliveMs);
  }

  #hangUpAndRetry(reason: string, now: Instant): void {
    this.#events.push({ type: 'hang-up', reason });
    this.#lost(reason, now);
  }

  #lost(reason: string, now: Instant): void {
    this.#id = undefined;
    this.#timers.cancelAll();
    this.#out.clear();
    if (this.#wanted === undefined) {
      this.#move('idle', reason);
      return;
    }
    this.#attempts++;
    if (this.#attempts >= this.#options.maxAttempts) {
      this.#move('closed', `${reason}; gave up after ${this.#attempts} attempts`);
      return;
    }
    this.#timers.arm('redial', now + this.#backoff());
    this.#move('waiting', reason);
  }

  /** Doubles with each attempt up to the longest wait, then takes off up to half of it at random. */
  #backoff(): number {
    const full = Math.min(this.#options.backoffMs * 2 ** (this.#attempts - 1), this.#options.maxBackoffMs);
    const draw = new Uint8Array(2);
    this.#env.random(draw);
    return full * (1 - ((draw[0]! << 8) | draw[1]!) / 0x1_0000 / 2);
  }

  #end(reason: string): void {
    const connected = this.#isConnected() || this.#state === 'dialing';
    this.#id = undefined;
    this.#wanted = undefined;
    this.#timers.cancelAll();
    this.#move('closed', reason);
    if (connected) this.#events.push({ type: 'hang-up', reason });
  }

  #isConnected(): boolean {
    return this.#state === 'joining' || this.#state === 'joined' || this.#state === 'outside';
  }

  #requireJoined(): void {
    if (this.#state !== 'joined') throw new UsageError(`not in a room: ${this.#state}`);
  }

  #send(message: ClientMessage): void {
    const bytes = encodeClientMessage(message);
    if (bytes.length > MAX_MESSAGE_BYTES) throw new UsageError(`the message is longer than ${MAX_MESSAGE_BYTES} bytes`);
    if (!this.#out.push(bytes)) throw new UsageError(`${MAX_QUEUED_MESSAGES} messages are waiting already`);
  }

  #move(next: SignalingClientState, why: string): void {
    if (!MOVES[this.#state].includes(next)) throw new Error(`illegal ${this.#state} -> ${next} (${why})`);
    this.#env.trace.state('signaling-client', this.#state, next, why);
    this.#state = next;
    this.#events.push({ type: 'state', state: next, reason: why });
  }

  #drop(reason: DropReason, detail: string): void {
    this.drops.count(reason);
    this.#env.trace.drop('signaling-client', reason, detail);
  }
}
