import { concatBytes, type Env, hexToBytes, type SansIo, utf8 } from '../../src/core/index.ts';
import { generateCertificate } from '../../src/crypto/index.ts';
import { encodeWholeMessage } from '../../src/dtls/handshake-fragment.ts';
import {
  type DtlsCertificate,
  DtlsClient,
  type DtlsClientOptions,
  type DtlsEvent,
  DtlsServer,
  type DtlsServerOptions,
} from '../../src/dtls/index.ts';
import { keyBlock } from '../../src/dtls/key-schedule.ts';
import { writeRecordHeader } from '../../src/dtls/record.ts';
import { RecordCipher } from '../../src/dtls/record-cipher.ts';
import { cipherSuiteByName } from '../../src/dtls/registry.ts';
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

/** What becomes of one datagram on its way: any number of others. */
export type Transform = (datagram: Uint8Array) => readonly Uint8Array[];

/** A core behind somebody who tampers with what it receives. */
function tap(core: SansIo<DtlsEvent>, transform: Transform): SansIo<DtlsEvent> {
  return {
    handleInput: (bytes, path, now) => {
      for (const datagram of transform(bytes)) core.handleInput(datagram, path, now);
    },
    handleTimeout: (now) => core.handleTimeout(now),
    pollTransmit: (slot, now) => core.pollTransmit(slot, now),
    pollEvent: () => core.pollEvent(),
    nextTimeout: () => core.nextTimeout(),
  };
}

/** The records of a datagram, as views. */
export function recordsOf(datagram: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at + 13 <= datagram.length; ) {
    const length = (datagram[at + 11]! << 8) | datagram[at + 12]!;
    records.push(datagram.subarray(at, at + 13 + length));
    at += 13 + length;
  }
  return records;
}

/** A plaintext record of epoch 0. */
export function plainRecord(type: number, body: Uint8Array, sequence = 0): Uint8Array {
  const head = Uint8Array.of(type, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, sequence, body.length >>> 8, body.length);
  return concatBytes(head, body);
}

/** A whole handshake message in one plaintext record. */
export function plainMessage(type: number, messageSeq: number, body: Uint8Array): Uint8Array {
  return plainRecord(22, encodeWholeMessage(type, messageSeq, body));
}

/** Rewrites the body of plaintext handshake messages (unfragmented) of one type; undefined drops the message. */
export function rewriteMessages(type: number, rewrite: (body: Uint8Array) => Uint8Array | undefined): Transform {
  return (datagram) =>
    recordsOf(datagram).flatMap((record) => {
      if (record[0] !== 22 || record[4] !== 0 || record[13] !== type) return [record.slice()];
      const body = rewrite(record.slice(25));
      return body === undefined ? [] : [plainMessage(type, (record[17]! << 8) | record[18]!, body)];
    });
}

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
  /** What happens to datagrams on their way to the client, and to the server. */
  readonly toClient?: Transform;
  readonly toServer?: Transform;
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
  const { a, b } = connectPair(
    world,
    options.toClient === undefined ? client : tap(client, options.toClient),
    options.toServer === undefined ? server : tap(server, options.toServer),
    options.link ?? PERFECT,
  );
  const received = { client: [] as string[], server: [] as string[] };
  a.onEvent = (event) => void (event.type === 'data' && received.client.push(new TextDecoder().decode(event.bytes)));
  b.onEvent = (event) => void (event.type === 'data' && received.server.push(new TextDecoder().decode(event.bytes)));
  return { world, client, server, a, b, received };
}

/**
 * The bytes of a record that `from` itself might send under the keys of the connection: what no outsider can make, and
 * what a correct peer would not. Only for pairs made with `secrets`.
 */
export function authenticRecord(
  secrets: Secrets,
  from: 'client' | 'server',
  type: number,
  body: Uint8Array,
  sequence: number,
): Uint8Array {
  const suite = cipherSuiteByName('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256')!;
  const [clientRandom, master] = secrets.line.split(' ').slice(1).map(hexToBytes);
  const keys = keyBlock(nodeCrypto, suite, master!, clientRandom!, secrets.serverRandom)[from];
  const cipher = new RecordCipher(nodeCrypto, suite, keys, new Uint8Array(0));
  const record = new Uint8Array(21 + body.length + 16);
  writeRecordHeader(record, 0, type, 1, sequence);
  record[11] = (record.length - 13) >>> 8;
  record[12] = record.length - 13;
  record.set(body, 21);
  cipher.seal(type, 1, sequence, record, 21, body.length);
  return record;
}

export interface Secrets {
  line: string;
  serverRandom: Uint8Array;
}

/** A connected pair whose secrets are known. */
export function openPair(): { readonly pair: Pair; readonly secrets: Secrets } {
  const secrets: Secrets = { line: '', serverRandom: new Uint8Array(0) };
  const keyLog = (line: string): void => {
    secrets.line = line;
  };
  const toClient = rewriteMessages(2, (body) => {
    secrets.serverRandom = body.slice(2, 34);
    return body;
  });
  return { pair: connectedPair({ client: { keyLog }, toClient }), secrets };
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

/** A datagram arrives at the server, from wherever. A copy: opening it destroys it. */
export function toServer(pair: Pair, bytes: Uint8Array): void {
  pair.b.driver.input(bytes.slice(), undefined);
}
