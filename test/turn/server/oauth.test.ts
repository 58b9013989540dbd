import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/io/index.ts';
import { decodeStun, type StunAttribute, ThirdPartyClient } from '../../../src/stun/index.ts';
import { makeAccessToken, type OauthKey } from '../../../src/turn/server/index.ts';
import { codeOf, PEER, TestClient, TestServer } from './harness.ts';

const KEY: OauthKey = { kid: 'north', key: new Uint8Array(32).fill(9) };
const SHORT_KEY: OauthKey = { kid: 'union', key: new Uint8Array(16).fill(8) };
const NAME = 'turn.example.org';

function makeServer(): TestServer {
  return new TestServer({ oauth: { serverName: NAME, keys: [KEY, SHORT_KEY] } });
}

function clientWith(server: TestServer, token = makeAccessToken(server.env, KEY, NAME, 3600)): TestClient {
  const client = new TestClient(server);
  client.credentials = new ThirdPartyClient(nodeCrypto, token);
  return client;
}

describe('third-party authorization (RFC 7635)', () => {
  it('announces itself in the 401, takes the token, and answers under its session key', () => {
    const client = clientWith(makeServer());
    const challenge = client.once('Allocate', [['REQUESTED-TRANSPORT', 17]]);
    expect(codeOf(challenge)).toBe(401);
    expect(challenge.get('THIRD-PARTY-AUTHORIZATION')).toBe(NAME);
    expect(client.credentials.handleChallenge(challenge, false)).toBe('retry');
    const answer = client.once('Allocate', [['REQUESTED-TRANSPORT', 17]]);
    expect(codeOf(answer)).toBe(0);
    expect(client.credentials.verify(answer)).toBe(true);
  });

  it('later requests carry no token: the allocation remembers its key', () => {
    const server = makeServer();
    const client = clientWith(server);
    expect(codeOf(client.allocate())).toBe(0);
    expect(codeOf(client.permit(PEER))).toBe(0);
    expect(decodeStun(client.lastRequest).has('ACCESS-TOKEN')).toBe(false);
    expect(codeOf(client.bind(0x4000, PEER))).toBe(0);
    expect(codeOf(client.request('Refresh', [['LIFETIME', 0]]))).toBe(0);
    expect(server.core.stats.allocations).toBe(0);
  });

  it('a Refresh with a new token changes the key of the session', () => {
    const server = makeServer();
    const client = clientWith(server);
    client.allocate();
    client.credentials = new ThirdPartyClient(nodeCrypto, makeAccessToken(server.env, KEY, NAME, 3600));
    expect(codeOf(client.request('Refresh'))).toBe(0);
    expect(codeOf(client.permit(PEER))).toBe(0);
  });

  it('AES-128-GCM keys work too, and ordinary users go on as before', () => {
    const server = makeServer();
    const client = clientWith(server, makeAccessToken(server.env, SHORT_KEY, NAME, 3600));
    expect(codeOf(client.allocate())).toBe(0);
    const other = new TestClient(server, { remote: { ip: '198.51.100.10', port: 1 } });
    expect(codeOf(other.allocate())).toBe(0);
  });

  it('a request signed with the first 16 bytes of the session key is taken, as coturn’s clients sign', () => {
    const server = makeServer();
    const token = makeAccessToken(server.env, KEY, NAME, 3600);
    const client = clientWith(server, { ...token, macKey: token.macKey.slice(0, 16) });
    const answer = client.allocate();
    expect(codeOf(answer)).toBe(0);
    expect(client.credentials.verify(answer)).toBe(true);
    expect(codeOf(client.permit(PEER))).toBe(0);
  });

  it('no lifetime goes beyond the token’s (RFC 7635 §9)', () => {
    const server = makeServer();
    const client = clientWith(server, makeAccessToken(server.env, KEY, NAME, 100));
    expect(client.allocate().require('LIFETIME')).toBe(105);
    server.advance(60_000);
    expect(client.request('Refresh').require('LIFETIME')).toBe(45);
  });

  it.each([
    ['another server’s name', (s: TestServer) => makeAccessToken(s.env, KEY, 'other.example.org', 3600)],
    ['another key', (s: TestServer) => makeAccessToken(s.env, { kid: 'north', key: new Uint8Array(32) }, NAME, 3600)],
    ['an unknown kid', (s: TestServer) => ({ ...makeAccessToken(s.env, KEY, NAME, 3600), kid: 'south' })],
    [
      'another session key',
      (s: TestServer) => ({ ...makeAccessToken(s.env, KEY, NAME, 3600), macKey: new Uint8Array(20) }),
    ],
    ['no token at all', (s: TestServer) => ({ ...makeAccessToken(s.env, KEY, NAME, 3600), token: new Uint8Array(0) })],
  ])('%s is 401, and nothing is kept', (_name, token) => {
    const server = makeServer();
    const client = clientWith(server, token(server));
    expect(codeOf(client.allocate())).toBe(401);
    expect(server.core.stats.allocations).toBe(0);
  });

  it('a token is good for its lifetime and five seconds more, and not before its time', () => {
    const server = makeServer();
    const token = makeAccessToken(server.env, KEY, NAME, 10);
    server.advance(14_000);
    expect(codeOf(clientWith(server, token).allocate())).toBe(0);
    server.advance(2_000);
    const late = new TestClient(server, { remote: { ip: '198.51.100.10', port: 1 } });
    late.credentials = new ThirdPartyClient(nodeCrypto, token);
    expect(codeOf(late.allocate())).toBe(401);
  });

  it('every flipped bit and every cut of a token is 401', () => {
    const server = new TestServer({
      oauth: { serverName: NAME, keys: [KEY] },
      unauthenticatedRate: { perSecond: 1e9, burst: 1e9 },
    });
    const good = makeAccessToken(server.env, KEY, NAME, 3600);
    for (let i = 0; i < good.token.length; i++) {
      const flipped = good.token.slice();
      flipped[i] = flipped[i]! ^ (1 << (i % 8));
      for (const token of [flipped, good.token.slice(0, i)]) {
        expect(codeOf(clientWith(server, { ...good, token }).allocate()), `byte ${i}`).toBe(401);
      }
    }
    expect(server.core.stats.allocations).toBe(0);
  });

  it('unexpected, it is an unknown attribute (RFC 7635 §7)', () => {
    const server = new TestServer();
    const client = new TestClient(server);
    const attribute: StunAttribute = ['ACCESS-TOKEN', new Uint8Array(4)];
    const answer = client.allocate([attribute]);
    expect(codeOf(answer)).toBe(420);
    expect(answer.get('UNKNOWN-ATTRIBUTES')).toEqual([0x001b]);
  });
});
