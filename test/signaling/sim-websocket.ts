import { Driver, type TransmitSlot } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import {
  type ConnectionId,
  SignalingClient,
  type SignalingClientEvent,
  type SignalingClientOptions,
  type SignalingLimits,
  SignalingServer,
  type SignalingServerEvent,
} from '../../src/signaling/index.ts';
import { SimHost, SimWorld, simEnv } from '../sim/index.ts';

export interface WireOptions {
  readonly latencyMs: number;
  /** Uniform extra delay of each message; order is kept all the same, as in TCP. */
  readonly jitterMs?: number;
}

/** One WebSocket in virtual time: ordered and lossless both ways, until it is cut. */
class Wire {
  readonly id: ConnectionId;
  readonly client: SimClient;
  /** Cleared when it is cut: what is still on the way then is lost. */
  alive = true;
  /** The client end is open: it knows by now. */
  open = false;
  #lastToClient = 0;
  #lastToServer = 0;

  constructor(id: ConnectionId, client: SimClient) {
    this.id = id;
    this.client = client;
  }

  arrival(direction: 'to-client' | 'to-server', at: number): number {
    if (direction === 'to-client') {
      this.#lastToClient = Math.max(this.#lastToClient, at);
      return this.#lastToClient;
    }
    this.#lastToServer = Math.max(this.#lastToServer, at);
    return this.#lastToServer;
  }
}

export interface SimClient {
  readonly core: SignalingClient;
  readonly driver: Driver<SignalingClientEvent, void>;
  readonly events: SignalingClientEvent[];
  /** Called for each event before it is recorded. */
  onEvent: ((event: SignalingClientEvent) => void) | undefined;
  wire: Wire | undefined;
}

/** One server and any number of clients, each core driven by the real `Driver`. */
export class SimSignaling {
  readonly world: SimWorld;
  readonly server: SignalingServer;
  readonly serverDriver: Driver<SignalingServerEvent, ConnectionId>;
  readonly serverEvents: SignalingServerEvent[] = [];
  /** False: dialing fails, as with a server that is down. */
  reachable = true;
  readonly #options: WireOptions;
  readonly #wires = new Map<ConnectionId, Wire>();
  readonly #raw = new Map<ConnectionId, string[]>();
  #nextId = 1;
  #passing = true;
  #held: (() => void)[] = [];

  constructor(seed: number, options: WireOptions = { latencyMs: 10 }, limits: Partial<SignalingLimits> = {}) {
    this.world = new SimWorld(seed);
    this.#options = options;
    this.server = new SignalingServer({ env: simEnv(this.world, nodeCrypto), limits });
    const host = new SimHost<ConnectionId>(this.world, (slot) => this.#toClient(slot));
    this.serverDriver = new Driver(this.server, host, (event) => {
      this.serverEvents.push(event);
      if (event.type === 'hang-up') this.cut(event.connection, `closed with ${event.closeCode} (${event.reason})`);
    });
    host.onWake = () => this.serverDriver.wake();
  }

  /** False: nothing arrives, and nobody is told; TCP delivers it when the way is free again, if both ends still want it. */
  get passing(): boolean {
    return this.#passing;
  }

  set passing(value: boolean) {
    this.#passing = value;
    if (value) for (const deliver of this.#held.splice(0)) deliver();
  }

  client(options: Omit<SignalingClientOptions, 'env'> = {}): SimClient {
    const core = new SignalingClient({ env: simEnv(this.world, nodeCrypto), ...options });
    const host = new SimHost<void>(this.world, (slot) => {
      if (client.wire !== undefined)
        this.toServer(client.wire.id, slot.buffer.slice(slot.offset, slot.offset + slot.length));
    });
    const driver = new Driver<SignalingClientEvent, void>(core, host, (event) => {
      client.onEvent?.(event);
      client.events.push(event);
      if (event.type === 'dial') this.#dial(client);
      if (event.type === 'hang-up') this.#abandon(client);
    });
    host.onWake = () => driver.wake();
    const client: SimClient = { core, driver, events: [], onEvent: undefined, wire: undefined };
    return client;
  }

  /** A client that has joined `room`; the world has run until then. */
  joined(room: string, name: string, options: Omit<SignalingClientOptions, 'env'> = {}): SimClient {
    const client = this.client(options);
    client.driver.mutate((now) => client.core.join(room, name, now));
    if (!this.world.run({ done: () => client.core.state === 'joined' })) throw new Error(`${name} cannot join`);
    return client;
  }

  /** A connection of nobody in particular: what it sends need not be a message, and what it gets is collected. */
  rawConnection(): { readonly id: ConnectionId; readonly received: string[]; readonly send: (text: string) => void } {
    const client = this.client();
    const wire = new Wire(this.#nextId++, client);
    this.#wires.set(wire.id, wire);
    const received: string[] = [];
    this.#raw.set(wire.id, received);
    this.serverDriver.mutate((now) => this.server.handleOpen(wire.id, now));
    return { id: wire.id, received, send: (text) => this.toServer(wire.id, new TextEncoder().encode(text)) };
  }

  toServer(id: ConnectionId, bytes: Uint8Array): void {
    const wire = this.#wires.get(id);
    if (wire === undefined) return;
    this.#travel(wire, 'to-server', () => {
      if (wire.alive) this.serverDriver.input(bytes, id);
    });
  }

  /** Ends a connection; each end learns it one latency later, what is on the way is lost. */
  cut(id: ConnectionId, reason = 'cut'): void {
    const wire = this.#wires.get(id);
    if (wire === undefined || !wire.alive) return;
    // The close frame travels behind what was sent before it.
    this.#travel(wire, 'to-client', () => {
      wire.alive = false;
      this.#wires.delete(id);
      if (wire.client.wire !== wire) return;
      wire.client.wire = undefined;
      wire.client.driver.mutate((now) => wire.client.core.handleClose(now, reason));
    });
    this.serverDriver.mutate((now) => this.server.handleClose(id, now));
  }

  #dial(client: SimClient): void {
    const wire = new Wire(this.#nextId++, client);
    client.wire = wire;
    this.#travel(wire, 'to-server', () => {
      if (client.wire !== wire) return;
      if (!this.reachable) {
        client.wire = undefined;
        client.driver.mutate((now) => client.core.handleClose(now, 'connection refused'));
        return;
      }
      wire.open = true;
      this.#wires.set(wire.id, wire);
      this.serverDriver.mutate((now) => this.server.handleOpen(wire.id, now));
      if (client.wire === wire) client.driver.mutate((now) => client.core.handleOpen(now));
    });
  }

  #abandon(client: SimClient): void {
    const wire = client.wire;
    client.wire = undefined;
    if (wire === undefined) return;
    this.#travel(wire, 'to-server', () => {
      wire.alive = false;
      this.#wires.delete(wire.id);
      this.serverDriver.mutate((now) => this.server.handleClose(wire.id, now));
    });
  }

  #toClient(slot: TransmitSlot<ConnectionId>): void {
    const id = slot.path;
    const wire = id === undefined ? undefined : this.#wires.get(id);
    if (id === undefined || wire === undefined) return;
    const bytes = slot.buffer.slice(slot.offset, slot.offset + slot.length);
    this.#travel(wire, 'to-client', () => {
      this.#raw.get(id)?.push(new TextDecoder().decode(bytes));
      if (wire.client.wire === wire) wire.client.driver.input(bytes, undefined);
    });
  }

  #travel(wire: Wire, direction: 'to-client' | 'to-server', arrive: () => void): void {
    const depart = (): void => void this.world.schedule(wire.arrival(direction, this.#arrivesAt()), arrive);
    if (this.#passing) depart();
    else this.#held.push(depart);
  }

  #arrivesAt(): number {
    return this.world.now + this.#options.latencyMs + this.world.random.next() * (this.#options.jitterMs ?? 0);
  }
}
