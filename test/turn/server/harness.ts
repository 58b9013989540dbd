import {
  ByteWriter,
  createTransmitSlot,
  type DropReason,
  type Env,
  type FiveTuple,
  formatFiveTuple,
  type Instant,
  resetTransmitSlot,
  SILENT,
  type TransportAddress,
} from '../../../src/core/index.ts';
import { nodeCrypto } from '../../../src/io/index.ts';
import {
  type AttributeName,
  type AttributeValues,
  type ClientCredentials,
  decodeStun,
  LongTermClient,
  STUN_METHODS,
  type StunMessage,
  StunWriter,
} from '../../../src/stun/index.ts';
import { TurnServerCore, type TurnServerCoreOptions, type TurnServerEvent } from '../../../src/turn/server/index.ts';
import { SeededRandom, SIM_EPOCH_MS } from '../../sim/index.ts';

export const SERVER: TransportAddress = { ip: '192.0.2.1', port: 3478 };
export const RELAY_IP = '192.0.2.1';
export const RELAY_IP6 = '2001:db8::1';
export const PEER: TransportAddress = { ip: '203.0.113.5', port: 9000 };
export const PEER6: TransportAddress = { ip: '2001:db8:5::5', port: 9000 };
export const USER = 'ada';
export const PASSWORD = 'lovelace';

/** A datagram that the server sent, with its own copy of the bytes. */
export interface Sent {
  readonly bytes: Uint8Array;
  readonly path: FiveTuple;
}

export type Attribute = { readonly [N in AttributeName]: readonly [N, AttributeValues[N]] }[AttributeName];

/** The core with a shell of no sockets: relays open at once unless `refusePort` says no. Time stands still until moved. */
export class TestServer {
  now: Instant = 1000;
  readonly core: TurnServerCore;
  readonly env: Env;
  readonly events: TurnServerEvent[] = [];
  readonly sent: Sent[] = [];
  /** Open relay sockets by id. */
  readonly sockets: Map<number, TransportAddress> = new Map();
  /** Every port that was ever asked for. */
  readonly asked: number[] = [];
  refusePort: (port: number) => boolean = () => false;
  /** Holds `open-relay` events back for `answerRelays`. */
  holdRelays = false;
  readonly held: Extract<TurnServerEvent, { type: 'open-relay' }>[] = [];
  readonly #slot = createTransmitSlot<FiveTuple>(65_507);
  readonly #paths = new Map<string, FiveTuple>();

  constructor(options: Partial<TurnServerCoreOptions> = {}) {
    const random = new SeededRandom(7);
    this.env = {
      random: (out) => random.fill(out),
      wallClockMs: () => SIM_EPOCH_MS + this.now,
      crypto: nodeCrypto,
      trace: SILENT,
    };
    this.core = new TurnServerCore({
      env: this.env,
      realm: 'example.org',
      findUser: (username) => (username === USER ? { username, password: PASSWORD } : undefined),
      relayAddresses: [{ ip: RELAY_IP }, { ip: RELAY_IP6 }],
      ...options,
    });
  }

  /** One object for each path, as shells do. */
  path(local: TransportAddress, remote: TransportAddress, protocol: FiveTuple['protocol'] = 'udp'): FiveTuple {
    const path = { protocol, local, remote };
    const key = formatFiveTuple(path);
    const known = this.#paths.get(key);
    if (known !== undefined) return known;
    this.#paths.set(key, path);
    return path;
  }

  /** Feeds one datagram, and gives what the server sent because of it. */
  input(bytes: Uint8Array, path: FiveTuple): Sent[] {
    const from = this.sent.length;
    this.core.handleInput(bytes, path, this.now);
    this.drain();
    return this.sent.slice(from);
  }

  /** From a peer to a relayed address. */
  fromPeer(relayed: TransportAddress, peer: TransportAddress, bytes: Uint8Array): Sent[] {
    const local = [...this.sockets.values()].find(({ ip, port }) => ip === relayed.ip && port === relayed.port);
    if (local === undefined) throw new Error('no relay there');
    return this.input(bytes, this.path(local, peer));
  }

  advance(ms: number): void {
    this.now += ms;
    this.core.handleTimeout(this.now);
    this.drain();
  }

  answerRelays(): void {
    for (const event of this.held.splice(0)) this.#answer(event);
    this.drain();
  }

  drops(reason: DropReason): number {
    return this.core.drops.get(reason);
  }

  drain(): void {
    for (;;) {
      resetTransmitSlot(this.#slot);
      while (this.core.pollTransmit(this.#slot)) {
        const { buffer, offset, length, path } = this.#slot;
        if (path === undefined) throw new Error('a datagram without a path');
        this.sent.push({ bytes: buffer.slice(offset, offset + length), path });
        resetTransmitSlot(this.#slot);
      }
      const event = this.core.pollEvent();
      if (event === undefined) return;
      this.events.push(event);
      if (event.type === 'open-relay') {
        this.asked.push(event.local.port);
        if (this.holdRelays) this.held.push(event);
        else this.#answer(event);
      } else if (event.type === 'close-relay') {
        this.sockets.delete(event.relay);
      }
    }
  }

  #answer(event: Extract<TurnServerEvent, { type: 'open-relay' }>): void {
    if (this.refusePort(event.local.port)) {
      this.core.relayFailed(event.relay, this.now);
    } else {
      this.sockets.set(event.relay, event.local);
      this.core.relayOpened(event.relay, event.local, this.now);
    }
  }
}

/** A client that answers one challenge by itself. */
export class TestClient {
  readonly server: TestServer;
  path: FiveTuple;
  credentials: ClientCredentials;
  lastRequest: Uint8Array = new Uint8Array(0);
  #id = 0;

  constructor(
    server: TestServer,
    options: {
      readonly remote?: TransportAddress;
      readonly protocol?: FiveTuple['protocol'];
      readonly username?: string;
      readonly password?: string;
    } = {},
  ) {
    this.server = server;
    this.path = server.path(SERVER, options.remote ?? { ip: '198.51.100.9', port: 40_000 }, options.protocol);
    this.credentials = new LongTermClient(nodeCrypto, options.username ?? USER, options.password ?? PASSWORD);
  }

  /** Sends a request and gives the last answer: of a second one where the first was challenged. */
  request(method: keyof typeof STUN_METHODS, attributes: readonly Attribute[] = []): StunMessage {
    let answer = this.once(method, attributes);
    const code = answer.messageClass === 'error' ? answer.require('ERROR-CODE').code : 0;
    if (code === 401 || code === 438) {
      const wasSigned = code === 438;
      if (this.credentials.handleChallenge(answer, wasSigned) === 'retry') answer = this.once(method, attributes);
    }
    return answer;
  }

  /** One request, one answer. @throws when there is none, or not on the client's path. */
  once(method: keyof typeof STUN_METHODS, attributes: readonly Attribute[] = []): StunMessage {
    const sent = this.send(method, attributes);
    const answer = sent.find(({ path }) => path === this.path);
    if (answer === undefined) throw new Error(`no answer to ${method}`);
    return decodeStun(answer.bytes);
  }

  send(method: keyof typeof STUN_METHODS, attributes: readonly Attribute[] = []): Sent[] {
    const w = new StunWriter(new ByteWriter(new Uint8Array(4096)), 'request', STUN_METHODS[method], this.newId());
    for (const [name, value] of attributes) w.add(name, value);
    this.credentials.sign(w, STUN_METHODS[method]);
    this.lastRequest = w.written().slice();
    return this.server.input(this.lastRequest, this.path);
  }

  newId(): Uint8Array {
    this.#id++;
    return new Uint8Array(12)
      .fill(0xa0)
      .with(11, this.#id)
      .with(10, this.path.remote.port & 0xff);
  }

  /** A UDP allocation. @returns the answer. */
  allocate(attributes: readonly Attribute[] = []): StunMessage {
    return this.request('Allocate', [['REQUESTED-TRANSPORT', 17], ...attributes]);
  }

  permit(...peers: readonly TransportAddress[]): StunMessage {
    return this.request(
      'CreatePermission',
      peers.map((peer) => ['XOR-PEER-ADDRESS', peer]),
    );
  }

  bind(channel: number, peer: TransportAddress): StunMessage {
    return this.request('ChannelBind', [
      ['CHANNEL-NUMBER', channel],
      ['XOR-PEER-ADDRESS', peer],
    ]);
  }

  indicate(attributes: readonly Attribute[]): Sent[] {
    const w = new StunWriter(new ByteWriter(new Uint8Array(70_000)), 'indication', STUN_METHODS.Send, this.newId());
    for (const [name, value] of attributes) w.add(name, value);
    return this.server.input(w.written(), this.path);
  }

  channelData(channel: number, data: Uint8Array): Sent[] {
    const bytes = new Uint8Array(4 + data.length);
    bytes.set([channel >> 8, channel & 0xff, data.length >> 8, data.length & 0xff]);
    bytes.set(data, 4);
    return this.server.input(bytes, this.path);
  }
}

/** 0 for a success. */
export function codeOf(message: StunMessage): number {
  return message.messageClass === 'error' ? message.require('ERROR-CODE').code : 0;
}

/** A server and a client with an allocation. */
export function allocated(
  options: Partial<TurnServerCoreOptions> = {},
  protocol: FiveTuple['protocol'] = 'udp',
): { readonly server: TestServer; readonly client: TestClient; readonly relayed: TransportAddress } {
  const server = new TestServer(options);
  const client = new TestClient(server, { protocol });
  const answer = client.allocate();
  return { server, client, relayed: answer.require('XOR-RELAYED-ADDRESS') };
}
