import {
  ByteWriter,
  type FiveTuple,
  formatAddress,
  type Instant,
  NEVER,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import {
  type Authenticated,
  decodeStun,
  LongTermServer,
  type LongTermServerOptions,
  STUN_METHODS,
  type StunAttribute,
  type StunClass,
  type StunMessage,
  StunWriter,
  stunError,
  transactionKey,
} from '../../src/stun/index.ts';

/** One request that arrived, for assertions. */
export interface SeenRequest {
  readonly at: Instant;
  readonly method: number;
  readonly message: StunMessage;
  readonly signed: boolean;
  readonly path: FiveTuple;
}

/** What to answer instead of success: an error's attributes, `unsigned` ones, or nothing at all. */
export type Answer =
  | { readonly error: readonly StunAttribute[]; readonly unsigned?: boolean }
  | { readonly success: readonly StunAttribute[]; readonly unsigned?: boolean }
  | 'silence'
  | undefined;

/**
 * A TURN server for the client's tests: believes everything that is authenticated, keeps the least state, and answers as
 * the test says. The project's own server has tests of its own, and some with this client.
 */
export class FakeTurnServer implements SansIo<never, FiveTuple> {
  readonly seen: SeenRequest[] = [];
  /** Decides about authenticated requests (and, with `beforeAuth`, about all). */
  answer: (request: SeenRequest, now: Instant) => Answer = () => undefined;
  beforeAuth: (request: SeenRequest) => Answer = () => undefined;
  /** Data that came for a peer. */
  readonly received: { readonly peer: TransportAddress; readonly bytes: Uint8Array; readonly by: string }[] = [];
  onData: (peer: TransportAddress, bytes: Uint8Array) => void = () => undefined;
  relayed: TransportAddress[] = [{ ip: '203.0.113.50', port: 50_000 }];
  lifetimeS = 600;
  allocated = false;
  readonly #auth: LongTermServer;
  readonly #channels = new Map<number, TransportAddress>();
  readonly #out: { readonly bytes: Uint8Array; readonly path: FiveTuple }[] = [];
  readonly #answered = new Map<string, Uint8Array>();
  #client: FiveTuple | undefined;

  constructor(options: LongTermServerOptions) {
    this.#auth = new LongTermServer(options);
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (bytes[0]! >= 0x40) {
      const peer = this.#channels.get((bytes[0]! << 8) | bytes[1]!);
      const data = bytes.slice(4, 4 + ((bytes[2]! << 8) | bytes[3]!));
      if (peer !== undefined) this.#take(peer, data, 'channel');
      return;
    }
    const message = decodeStun(bytes.slice());
    if (message.messageClass === 'indication') {
      this.#take(message.require('XOR-PEER-ADDRESS'), message.require('DATA'), 'send');
      return;
    }
    const again = this.#answered.get(transactionKey(message.transactionId));
    if (again !== undefined) {
      this.#out.push({ bytes: again, path }); // RFC 8489 §6.3.1: the same answer to a retransmission
      return;
    }
    this.#handleRequest(message, path, now);
  }

  handleTimeout(): void {
    // no timers
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    const next = this.#out.shift();
    if (next === undefined) return false;
    slot.buffer.set(next.bytes, slot.offset);
    slot.length = next.bytes.length;
    slot.path = next.path;
    return true;
  }

  pollEvent(): undefined {
    return undefined;
  }

  nextTimeout(): Instant {
    return NEVER;
  }

  /** A datagram from a peer, over its channel where bound. */
  sendFromPeer(peer: TransportAddress, bytes: Uint8Array, extra: readonly StunAttribute[] = [['DATA', bytes]]): void {
    const bound = [...this.#channels].find(([, address]) => formatAddress(address) === formatAddress(peer));
    if (bound !== undefined && extra[0]?.[0] === 'DATA') {
      const header = Uint8Array.of(bound[0] >> 8, bound[0] & 0xff, bytes.length >> 8, bytes.length & 0xff);
      this.inject(Uint8Array.of(...header, ...bytes));
      return;
    }
    const w = new StunWriter(new ByteWriter(new Uint8Array(2000)), 'indication', STUN_METHODS.Data, new Uint8Array(12));
    w.add('XOR-PEER-ADDRESS', peer);
    for (const [name, value] of extra) w.add(name, value);
    this.inject(w.written());
  }

  /** Any bytes to the client. */
  inject(bytes: Uint8Array): void {
    if (this.#client !== undefined) this.#out.push({ bytes: bytes.slice(), path: this.#client });
  }

  methods(): number[] {
    return this.seen.map((request) => request.method);
  }

  #take(peer: TransportAddress, bytes: Uint8Array, by: string): void {
    this.received.push({ peer, bytes, by });
    this.onData(peer, bytes);
  }

  #handleRequest(message: StunMessage, path: FiveTuple, now: Instant): void {
    this.#client = path;
    const signed = message.has('MESSAGE-INTEGRITY') || message.has('MESSAGE-INTEGRITY-SHA256');
    const request: SeenRequest = { at: now, method: message.method, message, signed, path };
    this.seen.push(request);
    const early = this.beforeAuth(request);
    if (early !== undefined) {
      this.#answerWith(early, message, path, undefined);
      return;
    }
    const user = this.#auth.authenticate(message, path.remote);
    if (user.type === 'rejected') this.#respond(message, path, 'error', user.attributes, undefined);
    else this.#answerWith(this.answer(request, now) ?? { success: this.#succeed(message) }, message, path, user);
  }

  #answerWith(answer: Answer, message: StunMessage, path: FiveTuple, user: Authenticated | undefined): void {
    if (answer === 'silence' || answer === undefined) return;
    const [messageClass, attributes] =
      'error' in answer ? (['error', answer.error] as const) : (['success', answer.success] as const);
    this.#respond(message, path, messageClass, attributes, answer.unsigned === true ? undefined : user);
  }

  #succeed(message: StunMessage): StunAttribute[] {
    switch (message.method) {
      case STUN_METHODS.Allocate:
        this.allocated = true;
        return [
          ...this.relayed.map((address): StunAttribute => ['XOR-RELAYED-ADDRESS', address]),
          ['LIFETIME', this.lifetimeS],
          ['XOR-MAPPED-ADDRESS', this.#client!.remote],
        ];
      case STUN_METHODS.Refresh:
        if (message.get('LIFETIME') === 0) this.allocated = false;
        return [['LIFETIME', message.get('LIFETIME') === 0 ? 0 : this.lifetimeS]];
      case STUN_METHODS.ChannelBind:
        this.#channels.set(message.require('CHANNEL-NUMBER'), message.require('XOR-PEER-ADDRESS'));
        return [];
      default:
        return [];
    }
  }

  #respond(
    message: StunMessage,
    path: FiveTuple,
    messageClass: StunClass,
    attributes: readonly StunAttribute[],
    user: Authenticated | undefined,
  ): void {
    const w = new StunWriter(new ByteWriter(new Uint8Array(2000)), messageClass, message.method, message.transactionId);
    for (const [name, value] of attributes) w.add(name, value);
    if (user !== undefined) w.addIntegrity(user.key, user.algorithm);
    const bytes = w.written().slice();
    this.#answered.set(transactionKey(message.transactionId), bytes);
    this.#out.push({ bytes, path });
  }
}

/** An error with its registered phrase, for `answer`. */
export function failWith(code: Parameters<typeof stunError>[0], ...more: StunAttribute[]): Answer {
  return { error: [['ERROR-CODE', stunError(code)], ...more] };
}
