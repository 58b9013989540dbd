import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ByteWriter, bytesToHex, EMPTY, type TransportAddress, utf8 } from '../../src/core/index.ts';
import { certificateToPem, generateCertificate } from '../../src/crypto/index.ts';
import { HELLO_SEQUENCE_LIMIT, SEQUENCE_LIMIT, writeEpochAndSequence } from '../../src/dtls/record.ts';
import { platform } from '../../src/io/index.ts';
import { DtlsServer, DtlsSocket, StunServer, TurnServer } from '../../src/server/index.ts';
import {
  decodeStun,
  encodeStun,
  IntegrityKey,
  longTermKey,
  newTransactionId,
  STUN_ATTRIBUTES,
  STUN_METHODS,
  type StunAttribute,
  type StunClass,
  type StunMessage,
  StunWriter,
} from '../../src/stun/index.ts';
import { recordsOf } from '../dtls/harness.ts';
import { SeededRandom, seeds } from '../sim/index.ts';
import { hostileDtls, joined, type Tamper } from './hostile-dtls.ts';
import { freeAddress } from './turn-clients.ts';

/*
 * Well-formed messages with extreme content against the servers as they run: what a fuzzer of bytes seldom makes, and a core
 * without its shell does not show. Nothing may be thrown, nothing kept of who failed, and the next client is served.
 */

const { env } = platform;
const LOOPBACK = '127.0.0.1';
/** Messages of one seed to each server. */
const MESSAGES = 150;
/** Handshakes of one seed with each server. */
const HANDSHAKES = 12;
/** What UDP over IPv4 carries, less the integrity and the names of who signs. */
const MAX_CONTENT_BYTES = 65_507 - 300;

const PEM = certificateToPem(generateCertificate(env));
const CERTIFICATE = { cert: PEM, key: PEM };
const KEY = new IntegrityKey(env.crypto, longTermKey(env.crypto, 'ada', 'example.org', 'lovelace'));

const closers: (() => void)[] = [];
const uncaught: unknown[] = [];
const onUncaught = (error: unknown): void => void uncaught.push(error);
beforeEach(() => {
  uncaught.length = 0;
  process.on('uncaughtException', onUncaught);
});
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
  process.off('uncaughtException', onUncaught);
});

const LENGTHS = [0, 1, 3, 4, 5, 8, 20, 32, 33, 64, 255, 256, 763, 764, 1200, 2048, 9217, 16_385, 32_768, 65_100];
const TYPES = [...Object.values(STUN_ATTRIBUTES).map(({ type }) => type), 0, 0x7fff, 0xffff];
const IPS = [LOOPBACK, '0.0.0.0', '255.255.255.255', '::', '::1', 'ff02::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1'];
const PORTS = [0, 1, 9, 1024, 49_152, 65_535];
const CHANNELS = [0, 0x3fff, 0x4000, 0x4001, 0x4fff, 0x5000, 0x7fff, 0x8000, 0xffff];
const FILLERS = ['PADDING', 'DATA', 'SOFTWARE', 'NONCE', 'ACCESS-TOKEN'] as const;
/** Would be believed in the place of the right ones. */
const CREDENTIALS = new Set<number>(
  (
    ['USERNAME', 'REALM', 'NONCE', 'USERHASH', 'ACCESS-TOKEN', 'MESSAGE-INTEGRITY', 'MESSAGE-INTEGRITY-SHA256'] as const
  ).map((name) => STUN_ATTRIBUTES[name].type),
);

/** An attribute that is as it should be, with a value from the edge of what it may be. */
function edge(random: SeededRandom): StunAttribute {
  const address = () => ({ ip: random.pick(IPS), port: random.pick(PORTS) });
  const families = [4, 6] as const;
  return random.pick<() => StunAttribute>([
    () => ['LIFETIME', random.pick([0, 1, 600, 0xffff_ffff])],
    () => ['REQUESTED-TRANSPORT', random.pick([6, 17, 17, 17, 0, 255])],
    () => ['EVEN-PORT', random.chance(0.5)],
    () => ['RESERVATION-TOKEN', random.bytes(8)],
    () => ['REQUESTED-ADDRESS-FAMILY', random.pick(families)],
    () => ['ADDITIONAL-ADDRESS-FAMILY', random.pick(families)],
    () => ['XOR-PEER-ADDRESS', address()],
    () => ['XOR-PEER-ADDRESS', { ip: LOOPBACK, port: 9 }],
    () => ['CHANNEL-NUMBER', random.pick(CHANNELS)],
    () => ['CONNECTION-ID', random.pick([0, 1, 0xffff_ffff])],
    () => ['MOBILITY-TICKET', random.chance(0.5) ? EMPTY : utf8(bytesToHex(random.bytes(16)))],
    () => ['CHANGE-REQUEST', { changeIp: random.chance(0.5), changePort: random.chance(0.5) }],
    () => ['RESPONSE-PORT', random.pick(PORTS)],
    () => ['ORIGIN', 'https://'.padEnd(random.pick([8, 763]), 'x')],
    () => ['DONT-FRAGMENT', true],
  ])();
}

/** One message; signed where there is a nonce to sign with. */
function hostileMessage(random: SeededRandom, nonce: Uint8Array | undefined): Uint8Array {
  const kind: StunClass = random.chance(0.9) ? 'request' : random.pick(['indication', 'success', 'error'] as const);
  const method = random.chance(0.3) ? STUN_METHODS.Binding : random.pick([...Object.values(STUN_METHODS), 0xfff]);
  const w = new StunWriter(new ByteWriter(new Uint8Array(65_507)), kind, method, random.bytes(12));
  const isFilled = random.chance(0.2); // by one attribute
  if (isFilled) w.addRaw(STUN_ATTRIBUTES[random.pick(FILLERS)].type, random.bytes(MAX_CONTENT_BYTES - 24));
  const many = !isFilled && random.chance(0.05);
  for (let left = isFilled ? 0 : many ? 300 : random.below(6); left > 0; left--) {
    if (random.chance(0.5) && w.length < MAX_CONTENT_BYTES - 800) {
      const [name, value] = edge(random);
      w.add(name, value);
      continue;
    }
    const type = random.pick(TYPES);
    if (nonce !== undefined && CREDENTIALS.has(type)) continue;
    const length = many ? random.below(5) : random.pick(LENGTHS);
    if (w.length + 4 + length + 3 <= MAX_CONTENT_BYTES) w.addRaw(type, random.bytes(length));
  }
  if (nonce !== undefined) sign(w, nonce);
  if (random.chance(0.3)) w.addFingerprint();
  return w.written();
}

function sign(w: StunWriter, nonce: Uint8Array): StunWriter {
  return w.add('USERNAME', 'ada').add('REALM', 'example.org').add('NONCE', nonce).addIntegrity(KEY, 'sha-1');
}

/** Without an allocation most requests do not get far. */
function allocate(random: SeededRandom, nonce: Uint8Array): Uint8Array {
  const w = new StunWriter(new ByteWriter(new Uint8Array(1000)), 'request', STUN_METHODS.Allocate, random.bytes(12));
  return sign(w.add('REQUESTED-TRANSPORT', 17), nonce).written();
}

/** A socket that attacks, and asks whether somebody is still there. */
async function attacker(remote: TransportAddress) {
  let hear: (message: StunMessage) => void = () => undefined;
  const socket = await platform.bindUdp(
    { ip: LOOPBACK, port: 0 },
    { onDatagram: (bytes) => (bytes[0]! < 2 ? hear(decodeStun(bytes)) : undefined), onError: () => undefined },
  );
  closers.push(() => socket.close());
  const send = (bytes: Uint8Array): void => socket.send(bytes, 0, bytes.length, remote);
  const ask = (method: number, attributes: readonly StunAttribute[] = []): Promise<StunMessage> => {
    const transactionId = newTransactionId(env);
    const request = encodeStun({ messageClass: 'request', method, transactionId, attributes });
    return new Promise((resolve) => {
      hear = (message) => {
        if (bytesToHex(message.transactionId) === bytesToHex(transactionId)) resolve(message);
      };
      send(request);
    });
  };
  return { send, ask };
}

/** Sends them one by one, each followed by a question that must be answered. */
async function attack(random: SeededRandom, remote: TransportAddress, signs: boolean): Promise<void> {
  const { send, ask } = await attacker(remote);
  const challenge = signs ? await ask(STUN_METHODS.Allocate) : undefined;
  const nonce = challenge?.require('NONCE').slice();
  for (let n = 0; n < MESSAGES; n++) {
    if (nonce !== undefined && n % 10 === 0) send(allocate(random, nonce));
    send(hostileMessage(random, random.chance(0.8) ? nonce : undefined));
    expect((await ask(STUN_METHODS.Binding)).messageClass).toBe('success');
  }
}

/** The same over TCP, a few in each connection; the server may hang up. */
async function attackStream(random: SeededRandom, remote: TransportAddress, nonce: Uint8Array | undefined) {
  for (let n = 0; n < MESSAGES; n += 10) {
    const socket = connect(remote.port, remote.ip);
    socket.on('error', () => undefined);
    socket.resume();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    for (let i = 0; i < 10; i++) socket.write(hostileMessage(random, nonce));
    if (random.chance(0.5)) socket.write(random.bytes(9));
    socket.end();
    await closed;
  }
}

/** Gives the records in the clear a number. */
function numbered(sequence: number): Tamper {
  return (batch) =>
    batch.map((datagram) => {
      for (const record of recordsOf(datagram)) {
        if (record[3] === 0 && record[4] === 0) writeEpochAndSequence(record, 3, 0, sequence);
      }
      return datagram;
    });
}

/**
 * Handshakes with extreme hellos; those that come to a connection say extreme things in it, and some say goodbye with it.
 * @returns how many do not.
 */
async function attackDtls(random: SeededRandom, remote: TransportAddress, mtus: readonly number[]): Promise<number> {
  let open = 0;
  const numbers = [0, 2 ** 32, HELLO_SEQUENCE_LIMIT - 1, HELLO_SEQUENCE_LIMIT, SEQUENCE_LIMIT - 2, SEQUENCE_LIMIT - 1];
  for (let n = 0; n < HANDSHAKES; n++) {
    const number = n < numbers.length ? numbers[n]! : random.pick(numbers);
    const hostile = await hostileDtls(
      remote,
      {
        recordSizeLimitBytes: random.pick([64, 65, 512, 16_384]),
        connectionId: new Uint8Array(random.pick([0, 1, 20])),
        mtuBytes: random.pick(mtus),
        alpn: ['x'.repeat(random.pick([1, 255]))],
        requireExtendedMasterSecret: false,
        ...(random.chance(0.3) ? { serverName: 'x'.repeat(random.pick([1, 255, 5000])) } : {}),
        ...(random.chance(0.3) ? { srtpProfiles: [1, 0xffff] } : {}),
        ...(random.chance(0.3)
          ? { cipherSuites: ['TLS_PSK_WITH_AES_128_CCM_8'], psk: { identity: EMPTY, key: EMPTY } }
          : {}),
      },
      random.chance(0.5) ? (batch) => joined(numbered(number)(batch)) : numbered(number),
    );
    closers.push(() => hostile.close());
    if (number >= HELLO_SEQUENCE_LIMIT) continue; // has no answer
    await hostile.settled;
    const { client, driver } = hostile;
    if (client.state !== 'connected') continue;
    driver.mutate((now) => {
      const limit = client.negotiated?.maxSendRecordBytes ?? 0;
      for (let i = 0; i < 5; i++) {
        const message = hostileMessage(random, undefined);
        if (message.length <= limit) client.send(message, now);
      }
      client.send(
        encodeStun({ messageClass: 'request', method: STUN_METHODS.Allocate, transactionId: random.bytes(12) }),
        now,
      );
      if (random.chance(0.7)) client.close(now);
      else open++;
    });
  }
  return open;
}

describe('attacks with messages that are well formed', () => {
  it.each(seeds(3))('seed %i: StunServer with behaviour discovery', async (seed) => {
    const [one, two] = [await freeAddress(), await freeAddress()];
    const addresses = { primary: one, alternate: { ip: '127.0.0.2', port: two.port } };
    const server = new StunServer({ behaviourDiscovery: addresses, software: 'x'.repeat(763) });
    closers.push(() => server.close());
    await server.listenForDiscovery();
    await attack(new SeededRandom(seed), one, false);
    expect(uncaught).toEqual([]);
  });

  it.each(seeds(6))('seed %i: TurnServer over UDP, TCP and DTLS', async (seed) => {
    const random = new SeededRandom(seed);
    const server = new TurnServer({
      realm: 'example.org',
      users: { ada: 'lovelace' },
      relayAddresses: [LOOPBACK],
      peers: { allowLoopback: true },
      mobility: true,
      icmp: seed % 2 === 0,
      software: 'x'.repeat(763),
      unauthenticatedRate: { perSecond: 1e9, burst: 1e9 },
      certificate: CERTIFICATE,
    });
    closers.push(() => server.close());
    const udp = await server.listen({ port: 0 });
    const tcp = await server.listen({ port: 0, transport: 'tcp' });
    await attack(random, udp, true);
    const nonce = (await (await attacker(udp)).ask(STUN_METHODS.Allocate)).require('NONCE').slice();
    await attackStream(random, tcp, random.chance(0.5) ? nonce : undefined);
    const open = await attackDtls(random, udp, [16_000]); // a hello in fragments is not put together before the cookie
    // Somebody who means well.
    const answer = new Promise<Uint8Array>((resolve, reject) => {
      const insecure = { verifyPeer: () => undefined };
      DtlsSocket.connect({ host: udp.ip, port: udp.port, ...insecure, onMessage: resolve }).then((socket) => {
        closers.push(() => socket.close());
        const transactionId = newTransactionId(env);
        socket.send(encodeStun({ messageClass: 'request', method: STUN_METHODS.Allocate, transactionId }));
      }, reject);
    });
    expect(decodeStun(await answer).require('ERROR-CODE').code).toBe(401);
    expect(uncaught).toEqual([]);
    await expect.poll(() => server.shellStats.connections).toBe(open + 1);
  });

  it.each(seeds(6))('seed %i: DtlsServer that echoes', async (seed) => {
    const server = new DtlsServer({
      certificate: CERTIFICATE,
      requireExtendedMasterSecret: false,
      onConnection: (peer) => peer.send('welcome'),
      onMessage: (bytes, peer) => bytes.length <= peer.negotiated.maxSendRecordBytes && peer.send(bytes),
    });
    closers.push(() => server.close());
    const remote = await server.listen({ port: 0 });
    const open = await attackDtls(new SeededRandom(seed), remote, [64, 256, 1200, 16_000]);
    const echo = new Promise<Uint8Array>((resolve, reject) => {
      const hear = (bytes: Uint8Array) => bytes.length === 2 && resolve(bytes);
      DtlsSocket.connect({ host: LOOPBACK, port: remote.port, verifyPeer: () => undefined, onMessage: hear }).then(
        (socket) => {
          closers.push(() => socket.close());
          socket.send('ok');
        },
        reject,
      );
    });
    expect(await echo).toEqual(utf8('ok'));
    expect(uncaught).toEqual([]);
    await expect.poll(() => server.connectionCount).toBe(open + 1);
  });
});
