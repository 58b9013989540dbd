import { describe, expect, it } from 'vitest';
import { ByteWriter, bytesToHex, utf8 } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import {
  type AttributeName,
  type AttributeValues,
  decodeStun,
  encodeStun,
  IntegrityKey,
  type LongTermAlgorithm,
  LongTermClient,
  LongTermServer,
  type LongTermServerOptions,
  longTermKey,
  MAX_CACHED_KEYS,
  nonceCookie,
  opaqueString,
  readNonceCookie,
  type StunAttribute,
  type StunMessage,
  StunWriter,
  userHash,
} from '../../src/stun/index.ts';
import { SeededRandom, SimWorld, simEnv } from '../sim/index.ts';

const ALICE = { username: 'alice', password: 'wonderland' };
const CLIENT = { ip: '198.51.100.7', port: 40_000 };
const ID = new SeededRandom(3).bytes(12);

function makeServer(options: Partial<LongTermServerOptions> = {}) {
  const world = new SimWorld(1);
  const server = new LongTermServer({
    env: simEnv(world, nobleCrypto),
    realm: 'example.org',
    findUser: (name) => (name === 'alice' ? ALICE : undefined),
    ...options,
  });
  return { world, server };
}

const keyOf = (algorithm: LongTermAlgorithm) =>
  new IntegrityKey(nobleCrypto, longTermKey(nobleCrypto, 'alice', 'example.org', 'wonderland', algorithm));

/** The value of an attribute in a list, which must be there. */
function attribute<N extends AttributeName>(list: readonly StunAttribute[], name: N): AttributeValues[N] {
  return errorResponse(list).require(name);
}

function makeClient(username = 'alice', password = 'wonderland'): LongTermClient {
  return new LongTermClient(nobleCrypto, username, password);
}

function request(client: LongTermClient): StunMessage {
  const w = new StunWriter(new ByteWriter(new Uint8Array(600)), 'request', 3, ID);
  w.add('REQUESTED-TRANSPORT', 17);
  client.sign(w);
  return decodeStun(w.written());
}

function errorResponse(attributes: readonly StunAttribute[]): StunMessage {
  return decodeStun(encodeStun({ messageClass: 'error', method: 3, transactionId: ID, attributes }));
}

/** Asks until accepted or told to stop; gives back all results in order. */
function converse(client: LongTermClient, server: LongTermServer, address = CLIENT): string[] {
  const steps: string[] = [];
  for (let i = 0; i < 4; i++) {
    const signed = client.isReady;
    const result = server.authenticate(request(client), address);
    if (result.type === 'authenticated') return [...steps, `ok ${result.username} ${result.algorithm}`];
    steps.push(String(result.code));
    const what = client.handleChallenge(errorResponse(result.attributes), signed);
    if (what !== 'retry') return [...steps, what];
  }
  return steps;
}

describe('the long-term mechanism (RFC 8489 §9.2)', () => {
  it('challenges once, then accepts with SHA-256', () => {
    const { server } = makeServer();
    const client = makeClient();
    expect(converse(client, server)).toEqual(['401', 'ok alice sha-256']);
    expect(client.realm).toBe('example.org');
    expect(converse(client, server)).toEqual(['ok alice sha-256']);
  });

  it('with a server of RFC 5389 (no algorithms offered) both use MD5 and SHA-1', () => {
    const { server } = makeServer({ passwordAlgorithms: [] });
    expect(converse(makeClient(), server)).toEqual(['401', 'ok alice sha-1']);
  });

  it('a client of RFC 5389 is served with SHA-1 by a server that offers algorithms', () => {
    const { server } = makeServer();
    const nonce = attribute(server.challenge(401, CLIENT).attributes, 'NONCE');
    const w = new StunWriter(new ByteWriter(new Uint8Array(600)), 'request', 3, ID);
    w.add('USERNAME', 'alice').add('REALM', 'example.org').add('NONCE', nonce);
    w.addIntegrity(keyOf('md5'), 'sha-1');
    expect(server.authenticate(decodeStun(w.written()), CLIENT)).toMatchObject({
      type: 'authenticated',
      algorithm: 'sha-1',
    });
  });

  it('a signed response whose nonce promises algorithms that it does not list is ignored (RFC 8489 §9.2.5)', () => {
    const { server } = makeServer();
    const client = makeClient();
    converse(client, server);
    const list = server.challenge(401, CLIENT).attributes;
    const nonce = ['NONCE', attribute(list, 'NONCE')] as const;
    const algorithms = ['PASSWORD-ALGORITHMS', attribute(list, 'PASSWORD-ALGORITHMS')] as const;
    for (const [attributes, verifies] of [
      [[], true],
      [[nonce, algorithms], true],
      [[['NONCE', utf8('plain')]], true],
      [[nonce], false],
    ] as const) {
      const integrity = [{ key: keyOf('sha-256'), algorithm: 'sha-256' }] as const;
      const bytes = encodeStun({ messageClass: 'success', method: 3, transactionId: ID, attributes, integrity });
      expect(client.verify(decodeStun(bytes))).toBe(verifies);
    }
  });

  it.each(['x'.repeat(509), 'é'.repeat(255)])(
    'a user name of 509 bytes and more is not sent (RFC 8489 §14.3)',
    (name) => {
      expect(() => makeClient(name)).toThrow(expect.objectContaining({ name: 'UsageError' }));
      expect(() => makeClient(name.slice(1))).not.toThrow();
    },
  );

  it('a realm that is not prepared is, in the key and in USERHASH (RFC 8489 §14.4)', () => {
    const composed = 'exampl\u00e9.org';
    const { server } = makeServer({
      realm: composed,
      findUserByHash: (hash) =>
        bytesToHex(hash) === bytesToHex(userHash(nobleCrypto, 'alice', composed)) ? ALICE : undefined,
    });
    const client = makeClient();
    const challenge = server
      .challenge(401, CLIENT)
      .attributes.map((a): StunAttribute => (a[0] === 'REALM' ? ['REALM', composed.normalize('NFD')] : a));
    expect(client.handleChallenge(errorResponse(challenge), false)).toBe('retry');
    expect(request(client).get('USERHASH')).toEqual(userHash(nobleCrypto, 'alice', composed));
    expect(request(client).get('REALM')).toBe(composed.normalize('NFD'));
  });

  it.each([
    ['alice', 'wrong'],
    ['bob', 'wonderland'],
    ['Alice', 'wonderland'],
  ])('%s with %s is rejected, and the client does not ask for ever', (username, password) => {
    expect(converse(makeClient(username, password), makeServer().server)).toEqual(['401', '401', 'rejected']);
  });

  it('an expired nonce is 438, and the client goes on with the new one', () => {
    const { server, world } = makeServer({ nonceLifetimeMs: 10_000 });
    const client = makeClient();
    converse(client, server);
    world.run({ until: 9_000 });
    expect(converse(client, server)).toEqual(['ok alice sha-256']);
    world.run({ until: 11_001 });
    expect(converse(client, server)).toEqual(['438', 'ok alice sha-256']);
  });

  it('a nonce is good only for the address it was given to', () => {
    const { server } = makeServer();
    const client = makeClient();
    converse(client, server);
    const elsewhere = { ip: CLIENT.ip, port: CLIENT.port + 1 };
    expect(server.authenticate(request(client), elsewhere)).toMatchObject({ type: 'rejected', code: 438 });
    expect(converse(client, server, elsewhere)).toEqual(['438', 'ok alice sha-256']);
  });

  it('two workers with one secret accept each other’s nonces; without, they do not', () => {
    const nonceSecret = new Uint8Array(32).fill(7);
    const client = makeClient();
    converse(client, makeServer({ nonceSecret }).server);
    expect(converse(client, makeServer({ nonceSecret }).server)).toEqual(['ok alice sha-256']);
    expect(converse(client, makeServer({ nonceSecret: new Uint8Array(32).fill(8) }).server)[0]).toBe('438');
  });

  it('USERHASH is used where the server announces username anonymity, and the name is then not on the wire', () => {
    const hash = userHash(nobleCrypto, 'alice', 'example.org');
    const { server } = makeServer({
      findUserByHash: (given) => (bytesToHex(given) === bytesToHex(hash) ? ALICE : undefined),
    });
    const client = makeClient();
    expect(converse(client, server)).toEqual(['401', 'ok alice sha-256']);
    const message = request(client);
    expect(message.has('USERNAME')).toBe(false);
    expect(message.get('USERHASH')).toEqual(hash);
  });

  it('a stored MD5 key serves SHA-1 clients and refuses the others', () => {
    const md5Key = longTermKey(nobleCrypto, 'alice', 'example.org', 'wonderland');
    const findUser = () => ({ username: 'alice', md5Key });
    expect(converse(makeClient(), makeServer({ findUser, passwordAlgorithms: ['md5'] }).server)).toEqual([
      '401',
      'ok alice sha-256',
    ]);
    expect(converse(makeClient(), makeServer({ findUser }).server)).toEqual(['401', '401', 'rejected']);
  });

  it('the first challenge is small', () => {
    const { server } = makeServer();
    const response = errorResponse(server.challenge(401, CLIENT).attributes);
    expect(response.bytes.length).toBeLessThanOrEqual(112);
    expect(response.get('NONCE')).toHaveLength(33);
    expect(response.has('MESSAGE-INTEGRITY')).toBe(false);
    expect(response.has('USERNAME')).toBe(false);
  });

  it.each([
    ['no USERNAME', ['REALM', 'NONCE']],
    ['no REALM', ['USERNAME', 'NONCE']],
    ['no NONCE', ['USERNAME', 'REALM']],
    ['PASSWORD-ALGORITHM alone', ['USERNAME', 'REALM', 'NONCE', 'PASSWORD-ALGORITHM']],
    ['PASSWORD-ALGORITHMS alone', ['USERNAME', 'REALM', 'NONCE', 'PASSWORD-ALGORITHMS']],
  ])('%s is 400 without credentials or nonce (RFC 8489 §9.2.4)', (_name, names) => {
    const { server } = makeServer();
    const result = server.authenticate(signedWith(server, names), CLIENT);
    expect(result).toMatchObject({ type: 'rejected', code: 400 });
    expect(result.type === 'rejected' && result.attributes.map(([name]) => name)).toEqual(['ERROR-CODE']);
  });

  it('a list of algorithms that is not the one offered is 400: somebody took one out', () => {
    const { server } = makeServer();
    const md5Only: StunAttribute = ['PASSWORD-ALGORITHMS', [{ algorithm: 1, parameters: new Uint8Array(0) }]];
    const chosen: StunAttribute = ['PASSWORD-ALGORITHM', { algorithm: 1, parameters: new Uint8Array(0) }];
    const message = signedWith(server, ['USERNAME', 'REALM', 'NONCE'], [md5Only, chosen]);
    expect(server.authenticate(message, CLIENT)).toMatchObject({ type: 'rejected', code: 400 });
  });

  it('another realm is 401 with ours', () => {
    const { server } = makeServer();
    const w = new StunWriter(new ByteWriter(new Uint8Array(600)), 'request', 3, ID);
    w.add('USERNAME', 'alice').add('REALM', 'other.example');
    w.add('NONCE', attribute(server.challenge(401, CLIENT).attributes, 'NONCE')).addIntegrity(keyOf('md5'), 'sha-1');
    const result = server.authenticate(decodeStun(w.written()), CLIENT);
    expect(result).toMatchObject({ type: 'rejected', code: 401 });
    expect(result.type === 'rejected' && attribute(result.attributes, 'REALM')).toBe('example.org');
  });

  it('forged nonces are stale, of any length and content', () => {
    const { server } = makeServer();
    const random = new SeededRandom(4);
    const good = attribute(server.challenge(401, CLIENT).attributes, 'NONCE');
    for (let i = 0; i < 300; i++) {
      const nonce = random.chance(0.5) ? random.bytes(random.below(60)) : good.slice();
      if (nonce.length > 14) nonce[13 + random.below(nonce.length - 13)]! ^= 1 << random.below(7);
      const w = new StunWriter(new ByteWriter(new Uint8Array(600)), 'request', 3, ID);
      w.add('USERNAME', 'alice').add('REALM', 'example.org').add('NONCE', nonce).addIntegrity(keyOf('md5'), 'sha-1');
      expect(server.authenticate(decodeStun(w.written()), CLIENT)).toMatchObject({ type: 'rejected', code: 438 });
    }
  });

  it('mutated requests authenticate nobody, and throw DecodeError at most', () => {
    const { server } = makeServer({ findUserByHash: () => ALICE });
    const client = makeClient();
    converse(client, server);
    const good = request(client).bytes.slice();
    expect(server.authenticate(decodeStun(good), CLIENT).type).toBe('authenticated');
    const random = new SeededRandom(6);
    for (let i = 0; i < 5000; i++) {
      const bytes = good.slice();
      for (let n = 1 + random.below(3); n > 0; n--) {
        const at = random.below(bytes.length);
        bytes[at] = bytes[at]! ^ (1 + random.below(255));
      }
      if (bytes.every((byte, at) => byte === good[at])) continue;
      try {
        expect(server.authenticate(decodeStun(bytes), CLIENT).type).toBe('rejected');
      } catch (error) {
        expect(error).toMatchObject({ name: 'DecodeError' });
      }
    }
  });

  it('a realm that cannot be prepared is the caller’s mistake', () => {
    expect(() => makeServer({ realm: 'exa\u0000mple' })).toThrow(expect.objectContaining({ name: 'UsageError' }));
    expect(() => makeClient('al\u00ADice')).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });

  function signedWith(server: LongTermServer, names: readonly string[], more: StunAttribute[] = []): StunMessage {
    const offered = server.challenge(401, CLIENT).attributes;
    const all: StunAttribute[] = [
      ['USERNAME', 'alice'],
      ['REALM', 'example.org'],
      ['NONCE', attribute(offered, 'NONCE')],
      ['PASSWORD-ALGORITHMS', attribute(offered, 'PASSWORD-ALGORITHMS')],
      ['PASSWORD-ALGORITHM', { algorithm: 2, parameters: new Uint8Array(0) }],
    ];
    const attributes = [...all.filter(([name]) => names.includes(name)), ...more];
    const integrity = [{ key: keyOf('sha-256'), algorithm: 'sha-256' as const }];
    return decodeStun(encodeStun({ messageClass: 'request', method: 3, transactionId: ID, attributes, integrity }));
  }
});

describe('what a client does with a challenge (RFC 8489 §9.2.5)', () => {
  const cookie = (passwordAlgorithms: boolean) => nonceCookie({ passwordAlgorithms, usernameAnonymity: false });
  const challenge = (...attributes: StunAttribute[]) =>
    errorResponse([['ERROR-CODE', { code: 401, reason: '' }], ...attributes]);

  it('a nonce that promises algorithms without a list is an attack: no retry', () => {
    const message = challenge(['REALM', 'r'], ['NONCE', utf8(`${cookie(true)}x`)]);
    expect(makeClient().handleChallenge(message, false)).toBe('bid-down');
  });

  it('only algorithms we do not know: no retry', () => {
    const algorithms: StunAttribute = ['PASSWORD-ALGORITHMS', [{ algorithm: 77, parameters: new Uint8Array(3) }]];
    const message = challenge(['REALM', 'r'], ['NONCE', utf8(cookie(true))], algorithms);
    expect(makeClient().handleChallenge(message, false)).toBe('no-common-algorithm');
  });

  it.each([
    ['no realm', [['NONCE', utf8('n')]]],
    ['no nonce', [['REALM', 'r']]],
  ] as const)('%s: no challenge', (_name, attributes) => {
    expect(makeClient().handleChallenge(challenge(...attributes), false)).toBe('no-challenge');
  });

  it('the first algorithm on the list that we know is taken, and the whole list is echoed', () => {
    const client = makeClient();
    const list = [9, 1, 2].map((algorithm) => ({ algorithm, parameters: new Uint8Array(0) }));
    const message = challenge(['REALM', 'r'], ['NONCE', utf8(cookie(true))], ['PASSWORD-ALGORITHMS', list]);
    expect(client.handleChallenge(message, false)).toBe('retry');
    expect(request(client).get('PASSWORD-ALGORITHM')?.algorithm).toBe(1);
    expect(request(client).get('PASSWORD-ALGORITHMS')).toEqual(list);
    const turn = new LongTermClient(nobleCrypto, 'alice', 'wonderland', { preferSha256: true }); // RFC 8656 §6
    turn.handleChallenge(message, false);
    expect(request(turn).get('PASSWORD-ALGORITHM')?.algorithm).toBe(2);
  });

  it('two answers to unsigned requests do not count as a rejection', () => {
    const client = makeClient();
    const message = challenge(['REALM', 'r'], ['NONCE', utf8('n')]);
    expect(client.handleChallenge(message, false)).toBe('retry');
    expect(client.handleChallenge(message, false)).toBe('retry');
    expect(client.handleChallenge(message, true)).toBe('rejected');
  });

  it('nothing verifies before a challenge', () => {
    expect(makeClient().verify(challenge())).toBe(false);
    expect(request(makeClient()).attributeTypes).toEqual([0x0019]);
  });
});

describe('the nonce cookie', () => {
  it.each([
    [false, false, 'obMatJos2AAAA'],
    [true, false, 'obMatJos2gAAA'],
    [false, true, 'obMatJos2QAAA'],
    [true, true, 'obMatJos2wAAA'],
  ])('algorithms %s, anonymity %s: %s', (passwordAlgorithms, usernameAnonymity, text) => {
    expect(nonceCookie({ passwordAlgorithms, usernameAnonymity })).toBe(text);
    expect(readNonceCookie(utf8(`${text}rest`))).toEqual({ passwordAlgorithms, usernameAnonymity });
  });

  it.each(['', 'obMatJos2', 'obMatJos2AA!A', 'obmatjos2AAAA', 'f//499k954d6OL34oL9FSTvy64sA'])(
    '%j has none',
    (text) => {
      expect(readNonceCookie(utf8(text))).toBeUndefined();
    },
  );
});

describe('OpaqueString (RFC 8265 §4.2)', () => {
  // The examples of RFC 8265 table 3 and 4, and one for each rule.
  it.each([
    ['correct horse battery staple', 'correct horse battery staple'],
    ['Correct Horse Battery Staple', 'Correct Horse Battery Staple'],
    ['πßå', 'πßå'],
    ['Jack of \u2666s', 'Jack of \u2666s'],
    ['foo\u1680bar', 'foo bar'],
    ['foo\u00A0bar\u3000', 'foo bar '],
    ['e\u0301', 'é'],
    ['\u212B', '\u00C5'],
    ['マトリックス', 'マトリックス'],
    ['ﾏ', 'ﾏ'],
    ['col·lecció', 'col·lecció'],
    ['\u0375α', '\u0375α'],
    ['א׳', 'א׳'],
    ['マ・リ', 'マ・リ'],
    ['क्\u200Dष', 'क्\u200Dष'],
    ['٣٤', '٣٤'],
  ])('%j becomes %j', (text, expected) => {
    expect(opaqueString(text)).toBe(expected);
    expect(opaqueString(expected)).toBe(expected); // idempotent
  });

  it.each([
    ['', 'empty'],
    ['my cat is a \u0009by', 'control character'],
    ['\u007F', 'delete'],
    ['The\u00ADM\u00AAtr\u2168', 'soft hyphen'],
    ['\uFFFE', 'noncharacter'],
    ['\u{E000}', 'private use'],
    ['\u0378', 'unassigned'],
    ['\uD800', 'lone surrogate'],
    ['\u1100', 'conjoining jamo'],
    ['a\u200Db', 'joiner out of context'],
    ['a·b', 'middle dot out of context'],
    ['\u0375a', 'keraia out of context'],
    ['a׳', 'geresh out of context'],
    ['a・', 'katakana dot out of context'],
    ['٣۴', 'mixed digits'],
  ])('%j is refused: %s', (text) => {
    expect(opaqueString(text)).toBeUndefined();
  });
});

describe('long-term keys', () => {
  it('is the MD5 of RFC 8489 §9.2.2: user, realm, pass', () => {
    expect(bytesToHex(longTermKey(nobleCrypto, 'user', 'realm', 'pass'))).toBe('8493fbc53ba582fb4c044c456bdc40eb');
  });
});

describe('keys that a server keeps ready', () => {
  /** Counts what is hashed: a key is one hash of the server's. */
  function counting(users: Map<string, string>) {
    let hashes = 0;
    const env = simEnv(new SimWorld(1), {
      ...nobleCrypto,
      hash: (name, bytes) => {
        hashes++;
        return nobleCrypto.hash(name, bytes);
      },
    });
    const findUser = (username: string) => {
      const password = users.get(username);
      return password === undefined ? undefined : { username, password };
    };
    return { server: makeServer({ env, findUser }).server, count: () => hashes };
  }

  it('are made once for a user, and anew for another password', () => {
    const users = new Map([['alice', 'wonderland']]);
    const { server, count } = counting(users);
    for (let i = 0; i < 3; i++) expect(converse(makeClient(), server).at(-1)).toBe('ok alice sha-256');
    expect(count()).toBe(1);
    users.set('alice', 'mirror');
    expect(converse(makeClient(), server).at(-1)).toBe('rejected');
    expect(converse(makeClient('alice', 'mirror'), server).at(-1)).toBe('ok alice sha-256');
    users.delete('alice');
    expect(converse(makeClient('alice', 'mirror'), server).at(-1)).toBe('rejected');
  });

  it(`are ${MAX_CACHED_KEYS} at most: the oldest is forgotten, and made again`, () => {
    const names = Array.from({ length: MAX_CACHED_KEYS + 1 }, (_, i) => `user${i}`);
    const { server, count } = counting(new Map(names.map((name) => [name, 'secret'])));
    const come = (name: string) => expect(converse(makeClient(name, 'secret'), server).at(-1)).toContain('ok');
    for (const name of names) come(name);
    expect(count()).toBe(names.length);
    come(names.at(-1)!);
    expect(count()).toBe(names.length);
    come(names[0]!);
    expect(count()).toBe(names.length + 1);
  });
});
