import { expect } from 'vitest';
import {
  type ByteStream,
  Driver,
  type FiveTuple,
  type Platform,
  type SansIo,
  type StreamHandlers,
  type TransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import {
  type DtlsCertificate,
  type DtlsConnectionId,
  DtlsListener,
  type DtlsListenerEvent,
} from '../../src/dtls/index.ts';
import { type RTCIceCandidate, RTCPeerConnection, type RTCPeerConnectionIceErrorEvent } from '../../src/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { StreamDeframer } from '../../src/stun/index.ts';
import { TurnServerCore, type TurnServerCoreOptions } from '../../src/turn/index.ts';
import { type LinkOptions, SimHost, SimNetwork, SimWorld, simEnv } from '../sim/index.ts';
import { SimTurnServer } from '../turn/sim-server.ts';
import { runUntil } from './sim-platform.ts';

export const SERVER: TransportAddress = { ip: '203.0.113.1', port: 3478 };
export const RELAY_IP = '203.0.113.2';
export const RELAY_IPV6 = '2001:db8::2';
/** The two machines; nothing passes between them but what the server relays. */
export const IPS = ['10.1.0.5', '10.2.0.6'] as const;
export const USER = { username: 'ada', password: 'lovelace' };

export interface RelayWorld {
  readonly network: SimNetwork;
  readonly core: TurnServerCore;
  readonly server: SimTurnServer;
}

/** A network with a TURN server, and two addresses that reach nothing but it. */
export function makeRelayWorld(
  seed: number,
  link: LinkOptions,
  options: Partial<TurnServerCoreOptions> = {},
): RelayWorld {
  const network = new SimNetwork(new SimWorld(seed), link);
  network.setLink(IPS[0], IPS[1], { latencyMs: 1, loss: 1 });
  network.setLink(IPS[1], IPS[0], { latencyMs: 1, loss: 1 });
  network.setLink(RELAY_IP, RELAY_IP, { latencyMs: 0 }); // from one relay to the other: within the server
  const core = new TurnServerCore({
    env: simEnv(network.world, nodeCrypto),
    realm: 'example.org',
    findUser: (username) => (username === USER.username ? USER : undefined),
    relayAddresses: [{ ip: RELAY_IP }],
    ...options,
  });
  return { network, core, server: new SimTurnServer(network, core, SERVER) };
}

/** What {@link SimStreams} leads to. */
export interface StreamServer {
  readonly driver: { input(bytes: Uint8Array, path: FiveTuple): void };
  sendOnStream: (slot: TransmitSlot<FiveTuple>) => void;
}

/** Any core as the server behind streams. */
export function streamServer(world: SimWorld, core: SansIo<unknown, FiveTuple>): StreamServer {
  const host = new SimHost<FiveTuple>(world, (slot) => server.sendOnStream(slot));
  const driver = new Driver(core, host, () => undefined);
  host.onWake = () => driver.wake();
  const server: StreamServer = { driver, sendOnStream: () => undefined };
  return server;
}

/** The server's end of a connection. */
interface Accepted {
  readonly path: FiveTuple;
  readonly handlers: StreamHandlers;
  readonly deframer: StreamDeframer;
}

/**
 * TCP to the TURN server in virtual time: in order, after a latency, cut into chunks that have nothing to do with what was
 * written.
 */
export class SimStreams {
  /** Connections that stand. */
  readonly open: Map<FiveTuple, Accepted> = new Map();
  /** Makes the next connection fail. */
  refuse = false;
  chunkBytes = 100;
  readonly #world: SimWorld;
  readonly #server: StreamServer;
  readonly #latencyMs: number;
  #nextPort = 50_000;

  constructor(world: SimWorld, server: StreamServer, latencyMs = 10) {
    this.#world = world;
    this.#server = server;
    this.#latencyMs = latencyMs;
    server.sendOnStream = ({ path, buffer, offset, length }) => {
      const accepted = path && this.open.get(path);
      if (accepted !== undefined) this.send(accepted, buffer.slice(offset, offset + length));
    };
  }

  /** `Platform.connectTcp` of a machine with that address. */
  connectFrom(ip: string): (remote: TransportAddress, handlers: StreamHandlers) => Promise<ByteStream> {
    return (remote, handlers) =>
      new Promise((resolve, reject) => {
        this.#later(() => {
          if (this.refuse) reject(new Error('ECONNREFUSED'));
          else resolve(this.#accept({ ip, port: this.#nextPort++ }, remote, handlers));
        });
      });
  }

  /** Bytes from the server, to be read in chunks. */
  send(accepted: Accepted, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += this.chunkBytes) {
      const chunk = bytes.slice(at, at + this.chunkBytes);
      this.#later(() => {
        if (this.open.get(accepted.path) === accepted) accepted.handlers.onData(chunk);
      });
    }
  }

  /** The server ends the connection. */
  hangUp(accepted: Accepted): void {
    this.open.delete(accepted.path);
    accepted.handlers.onClose(undefined);
  }

  #accept(client: TransportAddress, server: TransportAddress, handlers: StreamHandlers): ByteStream {
    const path: FiveTuple = { protocol: 'tcp', local: server, remote: client };
    const accepted = { path, handlers, deframer: new StreamDeframer({ channelData: true }) };
    this.open.set(path, accepted);
    return {
      local: client,
      remote: server,
      write: (buffer, offset, length) => {
        const bytes = buffer.slice(offset, offset + length);
        this.#later(() => accepted.deframer.push(bytes, (message) => this.#server.driver.input(message, path)));
        return true;
      },
      close: () => this.#later(() => void this.open.delete(path)),
    };
  }

  #later(task: () => void): void {
    this.#world.schedule(this.#world.now + this.#latencyMs, task);
  }
}

/** Where {@link SimDtlsListener} listens. */
export const DTLS_SERVER: TransportAddress = { ip: SERVER.ip, port: 5349 };

/** DTLS in front of the TURN server, in virtual time. */
export class SimDtlsListener {
  readonly listener: DtlsListener;
  readonly #driver: Driver<DtlsListenerEvent, FiveTuple>;

  constructor(network: SimNetwork, server: SimTurnServer, certificate: DtlsCertificate) {
    const paths = new Map<DtlsConnectionId, FiveTuple>();
    const connections = new Map<FiveTuple, DtlsConnectionId>();
    this.listener = new DtlsListener({ env: simEnv(network.world, nodeCrypto), accept: () => ({ certificate }) });
    const { driver } = network.attach(this.listener, [DTLS_SERVER], (event) => {
      if (event.type !== 'dtls' || event.event.type !== 'data') return;
      let path = paths.get(event.connection);
      if (path === undefined) {
        path = { protocol: 'dtls', local: DTLS_SERVER, remote: event.path.remote };
        paths.set(event.connection, path);
        connections.set(path, event.connection);
      }
      server.driver.input(event.event.bytes.slice(), path);
    });
    this.#driver = driver;
    server.sendOnStream = ({ path, buffer, offset, length }) => {
      const connection = path && connections.get(path);
      if (connection === undefined || this.listener.connection(connection)?.state !== 'connected') return;
      const bytes = buffer.slice(offset, offset + length);
      driver.mutate((now) => this.listener.send(connection, bytes, now));
    };
  }

  /** Says goodbye to every client. */
  closeAll(): void {
    this.#driver.mutate((now) => this.listener.closeAll(now));
  }
}

export const UDP: string = `turn:${SERVER.ip}`;
export const TCP: string = `turn:${SERVER.ip}?transport=tcp`;

export interface Wishes {
  readonly urls?: string | string[];
  readonly iceTransportPolicy?: 'all' | 'relay';
  readonly credential?: string;
  readonly username?: string;
}

/** A connection with a TURN server, what it finds and what goes wrong. */
export interface RelayPeer {
  readonly pc: RTCPeerConnection;
  readonly candidates: Pick<RTCIceCandidate, 'type' | 'address' | 'relayProtocol' | 'url'>[];
  readonly errors: RTCPeerConnectionIceErrorEvent[];
}

export function makePeer(platform: Platform, wishes: Wishes = {}): RelayPeer {
  const { urls = UDP, iceTransportPolicy = 'relay', credential = USER.password, username = USER.username } = wishes;
  const pc = new RTCPeerConnection({
    iceServers: [{ urls, username, credential }],
    iceTransportPolicy,
    purertc: { platform },
  });
  const candidates: RelayPeer['candidates'] = [];
  const errors: RTCPeerConnectionIceErrorEvent[] = [];
  pc.addEventListener('icecandidate', ({ candidate }) => {
    if (!candidate?.candidate) return;
    const { type, address, relayProtocol = null, url = null } = candidate;
    candidates.push({ type, address, relayProtocol, url });
  });
  pc.onicecandidateerror = (event) => void errors.push(event);
  return { pc, candidates, errors };
}

/** Gathers all candidates. */
export async function gather(pc: RTCPeerConnection, network: SimNetwork): Promise<void> {
  pc.createDataChannel('x');
  void pc.setLocalDescription();
  expect(await runUntil(network, () => pc.iceGatheringState === 'complete')).toBe(true);
}
