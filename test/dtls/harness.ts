import { type Env, utf8 } from '../../src/core/index.ts';
import { generateCertificate } from '../../src/crypto/index.ts';
import {
  type DtlsCertificate,
  DtlsClient,
  type DtlsClientOptions,
  type DtlsEvent,
  DtlsServer,
  type DtlsServerOptions,
} from '../../src/dtls/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { connectPair, type LinkOptions, PERFECT, SIM_EPOCH_MS, type SimEnd, SimWorld, simEnv } from '../sim/index.ts';

/** An `Env` outside any world, for certificates and codecs. */
export const PLAIN_ENV: Env = {
  random: (out) => nodeCrypto.random(out),
  wallClockMs: () => SIM_EPOCH_MS,
  crypto: nodeCrypto,
  trace: { state: () => undefined, drop: () => undefined, note: () => undefined },
};

/** Made once: certificates are not what these tests are about. */
export const CLIENT_CERTIFICATE: DtlsCertificate = generateCertificate(PLAIN_ENV, { commonName: 'client' });
export const SERVER_CERTIFICATE: DtlsCertificate = generateCertificate(PLAIN_ENV, { commonName: 'server' });

/** An event without its borrowed bytes. */
export type SeenEvent = DtlsEvent;

export interface Pair {
  readonly world: SimWorld;
  readonly client: DtlsClient;
  readonly server: DtlsServer;
  readonly a: SimEnd<DtlsEvent>;
  readonly b: SimEnd<DtlsEvent>;
  /** Copies of the data each side received, in order. */
  readonly received: { readonly client: string[]; readonly server: string[] };
}

export interface PairOptions {
  readonly seed?: number;
  readonly link?: LinkOptions;
  readonly client?: Partial<DtlsClientOptions>;
  readonly server?: Partial<DtlsServerOptions>;
}

/** Client and server over a link, as WebRTC uses them: certificates both ways, no cookie. Nothing is started. */
export function makePair(options: PairOptions = {}): Pair {
  const world = new SimWorld(options.seed ?? 1);
  const client = new DtlsClient({
    env: simEnv(world, nodeCrypto),
    certificate: CLIENT_CERTIFICATE,
    verifyPeer: () => undefined,
    ...options.client,
  });
  const server = new DtlsServer({
    env: simEnv(world, nodeCrypto),
    certificate: SERVER_CERTIFICATE,
    cookieExchange: false,
    requestClientCertificate: true,
    verifyPeer: () => undefined,
    ...options.server,
  });
  const { a, b } = connectPair(world, client, server, options.link ?? PERFECT);
  const received = { client: [] as string[], server: [] as string[] };
  a.onEvent = (event) => void (event.type === 'data' && received.client.push(new TextDecoder().decode(event.bytes)));
  b.onEvent = (event) => void (event.type === 'data' && received.server.push(new TextDecoder().decode(event.bytes)));
  return { world, client, server, a, b, received };
}

/** Starts the client and runs until both are connected, one has failed, or nothing is left to do. */
export function handshake(pair: Pair): Pair {
  pair.a.driver.mutate((now) => pair.client.start(now));
  const over = (state: string): boolean => state !== 'new' && state !== 'connecting';
  pair.world.run({ done: () => over(pair.client.state) && over(pair.server.state) });
  return pair;
}

/** A connected pair, or an error that says why not. */
export function connectedPair(options: PairOptions = {}): Pair {
  const pair = handshake(makePair(options));
  if (pair.client.state !== 'connected' || pair.server.state !== 'connected') {
    throw new Error(`not connected: ${JSON.stringify([failureOf(pair.a), failureOf(pair.b)])}`);
  }
  return pair;
}

/** Sends text both ways and runs until it has arrived. */
export function exchange(pair: Pair): void {
  pair.a.driver.mutate((now) => pair.client.send(utf8('from client'), now));
  pair.b.driver.mutate((now) => pair.server.send(utf8('from server'), now));
  pair.world.run({ until: pair.world.now + 10_000 });
}

type Of<T extends DtlsEvent['type']> = Extract<DtlsEvent, { readonly type: T }>;

export function eventsOf<T extends DtlsEvent['type']>(end: SimEnd<DtlsEvent>, type: T): Of<T>[] {
  return end.events.filter((event): event is Of<T> => event.type === type);
}

export function failureOf(end: SimEnd<DtlsEvent>): Of<'failed'>['error'] | undefined {
  return eventsOf(end, 'failed')[0]?.error;
}
