import { describe, expect, it } from 'vitest';
import {
  bytesToHex,
  createTransmitSlot,
  type FiveTuple,
  hexToBytes,
  resetTransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import {
  type BehaviourDiscoveryAddresses,
  decodeStun,
  encodeStun,
  MAX_PADDING_BYTES,
  MAX_QUEUED_RESPONSES,
  type StunAttribute,
  StunClient,
  type StunClientEvent,
  StunServer,
} from '../../src/stun/index.ts';
import { PERFECT, SeededRandom, SimNetwork, SimWorld, seeds, simEnv } from '../sim/index.ts';

const CLIENT = { ip: '198.51.100.7', port: 40_000 };
const SERVER = { ip: '203.0.113.1', port: 3478 };
const OTHER = { ip: '203.0.113.2', port: 3479 };
const PATH: FiveTuple = { protocol: 'udp', local: SERVER, remote: CLIENT };
const DISCOVERY: BehaviourDiscoveryAddresses = { primary: SERVER, alternate: OTHER };
const ID = new SeededRandom(3).bytes(12);

function makeServer(options: Partial<ConstructorParameters<typeof StunServer>[0]> = {}): StunServer {
  return new StunServer({ env: simEnv(new SimWorld(1), nobleCrypto), ...options });
}

function bindingRequest(...attributes: StunAttribute[]): Uint8Array {
  return encodeStun({ messageClass: 'request', method: 1, transactionId: ID, attributes });
}

function ask(server: StunServer, bytes: Uint8Array, path: FiveTuple = PATH) {
  server.handleInput(bytes, path, 0);
  const slot = createTransmitSlot<FiveTuple>(2000);
  if (!server.pollTransmit(slot)) return undefined;
  const answer = slot.buffer.slice(slot.offset, slot.offset + slot.length);
  return { bytes: answer, message: decodeStun(answer, { allowClassic: true }), path: slot.path! };
}

describe('StunServer', () => {
  it('answers a Binding request with the address it came from, and nothing else', () => {
    const answer = ask(makeServer(), bindingRequest())!;
    expect(answer.message.messageClass).toBe('success');
    expect(answer.message.transactionId).toEqual(ID);
    expect(answer.message.attributeTypes).toEqual([0x0020]);
    expect(answer.message.get('XOR-MAPPED-ADDRESS')).toEqual(CLIENT);
    expect(answer.path).toBe(PATH);
    expect(answer.bytes).toHaveLength(32);
  });

  it('answers IPv6', () => {
    const remote = { ip: '2001:db8::7', port: 9 };
    const answer = ask(makeServer(), bindingRequest(), { ...PATH, remote })!;
    expect(answer.message.get('XOR-MAPPED-ADDRESS')).toEqual(remote);
    expect(answer.bytes).toHaveLength(44);
  });

  it('adds FINGERPRINT where the request had one, and SOFTWARE where it was told to', () => {
    const request = encodeStun({ messageClass: 'request', method: 1, transactionId: ID, fingerprint: true });
    const answer = ask(makeServer({ software: 'purertc' }), request)!;
    expect(answer.message.hasFingerprint).toBe(true);
    expect(answer.message.get('SOFTWARE')).toBe('purertc');
  });

  it('rejects unknown comprehension-required attributes with 420 and lists them (RFC 8489 §6.3.1)', () => {
    const request = hexToBytes(`000100102112a442${bytesToHex(ID)}7fff0004000000007ffe000000240000`);
    const answer = ask(makeServer(), request)!;
    expect(answer.message.messageClass).toBe('error');
    expect(answer.message.get('ERROR-CODE')).toEqual({ code: 420, reason: 'Unknown Attribute' });
    expect(answer.message.get('UNKNOWN-ATTRIBUTES')).toEqual([0x7fff, 0x7ffe]);
  });

  it('ignores unknown comprehension-optional and unexpected known attributes', () => {
    const answer = ask(makeServer(), bindingRequest(['PRIORITY', 1], ['LIFETIME', 5], ['ICE-CONTROLLING', 1n]))!;
    expect(answer.message.messageClass).toBe('success');
  });

  it('no response is larger than is useful, whatever the request', () => {
    const server = makeServer({ behaviourDiscovery: DISCOVERY });
    const overhead = (bytes: Uint8Array) => (ask(server, bytes)?.bytes.length ?? 0) - bytes.length;
    expect(overhead(bindingRequest())).toBeLessThanOrEqual(48);
    expect(overhead(bindingRequest(['PADDING', new Uint8Array(4)]))).toBeLessThanOrEqual(48);
    expect(overhead(bindingRequest(['PADDING', new Uint8Array(1200)]))).toBeLessThanOrEqual(48);
  });

  it.each([
    ['an indication', encodeStun({ messageClass: 'indication', method: 1, transactionId: ID }), {}],
    ['a success response', encodeStun({ messageClass: 'success', method: 1, transactionId: ID }), { 'bad-type': 1 }],
    ['an error response', encodeStun({ messageClass: 'error', method: 1, transactionId: ID }), { 'bad-type': 1 }],
    ['another method', encodeStun({ messageClass: 'request', method: 3, transactionId: ID }), { unsupported: 1 }],
    ['half a header', bindingRequest().subarray(0, 19), { 'too-short': 1 }],
    ['a wrong length', Uint8Array.of(...bindingRequest(), 0), { 'trailing-bytes': 1 }],
    ['DTLS', Uint8Array.of(22, 254, 253, ...new Uint8Array(17)), { 'too-short': 1 }],
    ['RTP', Uint8Array.of(128, 0, ...new Uint8Array(18)), { 'bad-type': 1 }],
  ])('does not answer %s', (_name, bytes, drops) => {
    const server = makeServer({ behaviourDiscovery: DISCOVERY });
    expect(ask(server, bytes)).toBeUndefined();
    expect(server.drops.toJSON()).toEqual(drops);
  });

  it(`holds at most ${MAX_QUEUED_RESPONSES} responses that nobody polls`, () => {
    const server = makeServer();
    for (let i = 0; i < MAX_QUEUED_RESPONSES + 3; i++) server.handleInput(bindingRequest(), PATH, 0);
    expect(server.drops.toJSON()).toEqual({ limit: 3 });
    const slot = createTransmitSlot<FiveTuple>(100);
    let polled = 0;
    while (server.pollTransmit(slot)) {
      polled++;
      resetTransmitSlot(slot);
    }
    expect(polled).toBe(MAX_QUEUED_RESPONSES);
    expect(server.counters).toEqual({ requests: 67, successes: 64, errors: 0, indications: 0 });
  });

  it('random datagrams never throw', () => {
    const server = makeServer({ behaviourDiscovery: DISCOVERY });
    const random = new SeededRandom(9);
    for (let i = 0; i < 20_000; i++) {
      const bytes = bindingRequest(
        ['CHANGE-REQUEST', { changeIp: true, changePort: false }],
        ['PADDING', new Uint8Array(9)],
      );
      for (let n = random.below(4); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
      ask(server, bytes.subarray(0, random.chance(0.9) ? bytes.length : random.below(bytes.length)));
    }
    expect(server.counters.successes).toBeGreaterThan(0);
    expect(server.drops.total).toBeGreaterThan(0);
  });
});

describe('clients of RFC 3489', () => {
  const classic = (attributes = '') =>
    hexToBytes(`0001${(attributes.length / 2).toString(16).padStart(4, '0')}00112233${bytesToHex(ID)}${attributes}`);

  it('get MAPPED-ADDRESS and SOURCE-ADDRESS under their 16-byte transaction ID', () => {
    const answer = ask(makeServer(), classic())!;
    expect(bytesToHex(answer.bytes.subarray(4, 20))).toBe(`00112233${bytesToHex(ID)}`);
    expect(answer.message.get('MAPPED-ADDRESS')).toEqual(CLIENT);
    expect(answer.message.get('SOURCE-ADDRESS')).toEqual(SERVER);
    expect(answer.message.has('XOR-MAPPED-ADDRESS')).toBe(false);
  });

  it('may send CHANGE-REQUEST with no flag set, as Debian’s stun client does; a set flag is 420 without a second address', () => {
    expect(ask(makeServer(), classic('0003000400000000'))!.message.messageClass).toBe('success');
    const answer = ask(makeServer(), classic('0003000400000006'))!;
    expect(answer.message.get('ERROR-CODE')?.code).toBe(420);
    expect(answer.message.get('UNKNOWN-ATTRIBUTES')).toEqual([3, 3]); // RFC 3489 pads by repeating
  });

  it('get CHANGED-ADDRESS and an answer from there where the server has one', () => {
    const answer = ask(makeServer({ behaviourDiscovery: DISCOVERY }), classic('0003000400000006'))!;
    expect(answer.message.get('CHANGED-ADDRESS')).toEqual(OTHER);
    expect(answer.message.get('SOURCE-ADDRESS')).toEqual(OTHER);
    expect(answer.path.local).toEqual(OTHER);
  });

  it('cannot have the answer sent to somebody else: RESPONSE-ADDRESS is unknown', () => {
    const answer = ask(makeServer({ behaviourDiscovery: DISCOVERY }), classic('000200080001123401020304'))!;
    expect(answer.message.get('ERROR-CODE')?.code).toBe(420);
    expect(answer.path.remote).toBe(CLIENT);
  });

  it('are refused over DTLS with 500 (RFC 8489 §11)', () => {
    const answer = ask(makeServer(), classic(), { ...PATH, protocol: 'dtls' })!;
    expect(answer.message.get('ERROR-CODE')?.code).toBe(500);
  });
});

describe('behaviour discovery (RFC 5780 §6.1)', () => {
  const server = makeServer({ behaviourDiscovery: DISCOVERY });
  const at = (local: TransportAddress): FiveTuple => ({ protocol: 'udp', local, remote: CLIENT });

  it.each([
    [SERVER, false, false, SERVER, OTHER],
    [SERVER, true, false, { ip: OTHER.ip, port: SERVER.port }, OTHER],
    [SERVER, false, true, { ip: SERVER.ip, port: OTHER.port }, OTHER],
    [SERVER, true, true, OTHER, OTHER],
    [OTHER, false, false, OTHER, SERVER],
    [OTHER, true, true, SERVER, SERVER],
    [OTHER, false, true, { ip: OTHER.ip, port: SERVER.port }, SERVER],
    [{ ip: OTHER.ip, port: SERVER.port }, true, false, SERVER, { ip: SERVER.ip, port: OTHER.port }],
  ])('table 1: to %j, change IP %s, change port %s: from %j', (local, changeIp, changePort, origin, other) => {
    const answer = ask(server, bindingRequest(['CHANGE-REQUEST', { changeIp, changePort }]), at(local))!;
    expect(answer.path.local).toEqual(origin);
    expect(answer.message.get('RESPONSE-ORIGIN')).toEqual(origin);
    expect(answer.message.get('OTHER-ADDRESS')).toEqual(other);
    expect(answer.message.get('MAPPED-ADDRESS')).toEqual(CLIENT);
    expect(answer.message.get('XOR-MAPPED-ADDRESS')).toEqual(CLIENT);
  });

  it('RESPONSE-PORT redirects to another port of the same host only', () => {
    const answer = ask(server, bindingRequest(['RESPONSE-PORT', 5000]))!;
    expect(answer.path.remote).toEqual({ ip: CLIENT.ip, port: 5000 });
    expect(answer.message.get('XOR-MAPPED-ADDRESS')).toEqual(CLIENT);
  });

  it('PADDING comes back in the same length; with RESPONSE-PORT, and to port 0, it is 400', () => {
    expect(ask(server, bindingRequest(['PADDING', new Uint8Array(99)]))!.message.get('PADDING')).toHaveLength(99);
    const both = ask(server, bindingRequest(['PADDING', new Uint8Array(9)], ['RESPONSE-PORT', 5000]))!;
    expect(both.message.get('ERROR-CODE')?.code).toBe(400);
    expect(both.path).toBe(PATH);
    expect(ask(server, bindingRequest(['RESPONSE-PORT', 0]))!.message.get('ERROR-CODE')?.code).toBe(400);
  });

  it('a request that fills a datagram with PADDING gets a response that fits one', () => {
    const request = bindingRequest(['PADDING', new Uint8Array(65_480)]);
    expect(request).toHaveLength(65_504); // UDP over IPv4 carries three bytes more
    const slot = createTransmitSlot<FiveTuple>(65_507);
    server.handleInput(request, PATH, 0);
    expect(server.pollTransmit(slot)).toBe(true);
    const answer = decodeStun(slot.buffer.slice(slot.offset, slot.offset + slot.length));
    expect(answer.get('PADDING')).toHaveLength(MAX_PADDING_BYTES);
  });

  it.each(['CHANGE-REQUEST', 'PADDING', 'RESPONSE-PORT'] as const)(
    '%s is 420 without a second address, and over TCP',
    (name) => {
      const attribute: StunAttribute =
        name === 'CHANGE-REQUEST'
          ? [name, { changeIp: false, changePort: true }]
          : name === 'PADDING'
            ? [name, new Uint8Array(4)]
            : [name, 5000];
      expect(ask(makeServer(), bindingRequest(attribute))!.message.get('ERROR-CODE')?.code).toBe(420);
      const tcp = ask(server, bindingRequest(attribute), { ...PATH, protocol: 'tcp' })!;
      expect(tcp.message.get('ERROR-CODE')?.code).toBe(420);
    },
  );

  it('without backward compatibility is silent to clients of RFC 3489, and says MAPPED-ADDRESS to nobody', () => {
    const answers = (noBackwardCompatibility: boolean) => {
      const server = makeServer({ behaviourDiscovery: DISCOVERY, noBackwardCompatibility });
      const now = encodeStun({ messageClass: 'request', method: 1, transactionId: new Uint8Array(12) });
      const old = encodeStun({ messageClass: 'request', method: 1, transactionId: new Uint8Array(16).fill(1) });
      return [now, old].map((bytes) => {
        const slot = createTransmitSlot<FiveTuple>(2000);
        server.handleInput(bytes, PATH, 0);
        if (!server.pollTransmit(slot)) return 'silence';
        const answer = slot.buffer.subarray(slot.offset, slot.offset + slot.length);
        return decodeStun(answer, { allowClassic: true }).has('MAPPED-ADDRESS');
      });
    };
    expect(answers(false)).toEqual([true, true]);
    expect(answers(true)).toEqual([false, 'silence']);
  });

  it('needs two addresses and two ports', () => {
    const alternate = { ip: OTHER.ip, port: SERVER.port };
    expect(() => makeServer({ behaviourDiscovery: { primary: SERVER, alternate } })).toThrow('two ports');
  });
});

describe('StunClient', () => {
  function meet(
    seed: number,
    link: Partial<typeof PERFECT> & { loss?: number; duplicate?: number; jitterMs?: number },
  ) {
    const world = new SimWorld(seed);
    const network = new SimNetwork(world, { ...PERFECT, ...link });
    const env = simEnv(world, nobleCrypto);
    network.attach(new StunServer({ env, behaviourDiscovery: DISCOVERY }), [SERVER, OTHER], () => undefined);
    const client = new StunClient({ env, path: { protocol: 'udp', local: CLIENT, remote: SERVER } }, world.now);
    const events: StunClientEvent[] = [];
    const { driver } = network.attach(client, [CLIENT], (event) => events.push(event));
    driver.drain();
    world.run();
    return events;
  }

  it('learns its address, the server’s origin and its other address', () => {
    expect(meet(1, { latencyMs: 25 })).toEqual([
      { type: 'mapped', address: CLIENT, responseOrigin: SERVER, otherAddress: OTHER, rttMs: 50 },
    ]);
  });

  it.each(seeds(100))('seed %i: a loss of 0.3, duplication and jitter end in one event', (seed) => {
    const events = meet(seed, { latencyMs: 40, jitterMs: 200, loss: 0.3, duplicate: 0.1 });
    expect(events).toHaveLength(1);
    if (events[0]?.type === 'mapped') expect(events[0].address).toEqual(CLIENT);
  });

  it('times out, and says so', () => {
    expect(meet(1, { loss: 1 })).toEqual([{ type: 'failed', reason: 'timeout', error: undefined }]);
  });

  const env = simEnv(new SimWorld(1), nobleCrypto);
  function answerWith(
    messageClass: 'success' | 'error',
    attributes: StunAttribute[],
    raw = '',
  ): StunClientEvent | undefined {
    const client = new StunClient({ env, path: { protocol: 'tcp', local: CLIENT, remote: SERVER }, software: 'x' }, 0);
    const slot = createTransmitSlot<FiveTuple>(2000);
    client.pollTransmit(slot);
    const request = decodeStun(slot.buffer.subarray(slot.offset, slot.offset + slot.length));
    expect(request.get('SOFTWARE')).toBe('x');
    const answer = encodeStun({ messageClass, method: 1, transactionId: request.transactionId, attributes });
    const bytes = Uint8Array.of(...answer, ...hexToBytes(raw));
    bytes[3]! += raw.length / 2;
    client.handleInput(bytes, PATH, 5);
    return client.pollEvent();
  }

  it('falls back to MAPPED-ADDRESS, as an RFC 3489 server sends it', () => {
    expect(answerWith('success', [['MAPPED-ADDRESS', CLIENT]])).toMatchObject({ type: 'mapped', address: CLIENT });
  });

  it('reports an error response with its code', () => {
    const error = { code: 500, reason: 'Server Error' };
    expect(answerWith('error', [['ERROR-CODE', error]])).toEqual({ type: 'failed', reason: 'error-response', error });
  });

  it.each([
    ['no address', answerWith('success', [])],
    ['no error code', answerWith('error', [])],
    [
      'an unknown comprehension-required attribute',
      answerWith('success', [['XOR-MAPPED-ADDRESS', CLIENT]], '7fff0000'),
    ],
    ['a malformed address', answerWith('success', [], '002000040001a147')],
  ])('a response with %s fails the transaction (RFC 8489 §6.3.3, §6.3.4)', (_name, event) => {
    expect(event).toEqual({ type: 'failed', reason: 'bad-response', error: undefined });
  });
});
