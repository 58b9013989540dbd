import { describe, expect, it } from 'vitest';
import { canonicalOrigin, type TurnServerCoreOptions, type TurnServerEvent } from '../../../src/turn/server/index.ts';
import { MAX_ORIGINS } from '../../../src/turn/server/origins.ts';
import { type Attribute, codeOf, PASSWORD, PEER, TestClient, TestServer, USER } from './harness.ts';

const PAGE: Attribute = ['ORIGIN', 'https://Shop.example'];
const TRANSPORT: Attribute = ['REQUESTED-TRANSPORT', 17];

function start(options: Partial<TurnServerCoreOptions> = {}) {
  const server = new TestServer({
    realmsByOrigin: { 'https://shop.example': 'shop', 'https://club.example:8443': 'club' },
    ...options,
  });
  let port = 40_000;
  const client = () => new TestClient(server, { remote: { ip: '198.51.100.9', port: port++ } });
  const realmFor = (...origins: string[]) =>
    client()
      .once('Allocate', [TRANSPORT, ...origins.map((origin): Attribute => ['ORIGIN', origin])])
      .require('REALM');
  return { server, client, realmFor };
}

function allocatedEvents(server: TestServer) {
  return server.events.filter(
    (event): event is Extract<TurnServerEvent, { type: 'allocated' }> => event.type === 'allocated',
  );
}

describe('the realm by origin, as coturn has it', () => {
  it.each([
    ['https://Example.ORG', 'https://example.org:443'],
    ['https://example.org:443/', 'https://example.org:443'],
    ['HTTP://example.org/path?query', 'http://example.org:80'],
    ['https://example.org:8443', 'https://example.org:8443'],
    ['https://[2001:DB8::1]', 'https://[2001:db8::1]:443'],
    ['app://Thing', 'app://thing'],
    ['null', 'null'],
    ['https://', 'https://'],
  ])('compares %s as %s', (text, canonical) => {
    expect(canonicalOrigin(text)).toBe(canonical);
  });

  it('asks for the credentials of the first origin that it knows, and of its own realm otherwise', () => {
    const { realmFor } = start();
    expect(realmFor()).toBe('example.org');
    expect(realmFor('https://shop.example:443')).toBe('shop');
    expect(realmFor('https://club.example:8443')).toBe('club');
    expect(realmFor('https://club.example')).toBe('example.org'); // unknown: not an error
    expect(realmFor('https://else.example', 'https://club.example:8443', 'https://shop.example')).toBe('club');
    expect(realmFor('')).toBe('example.org');
  });

  it('lets only the password of that realm in', () => {
    const passwords: Record<string, string> = { 'example.org': 'other', shop: PASSWORD };
    const asked: string[] = [];
    const { server, client } = start({
      findUser: (username, realm) => {
        asked.push(realm);
        const password = passwords[realm];
        return username === USER && password !== undefined ? { username, password } : undefined;
      },
    });
    expect(codeOf(client().request('Allocate', [TRANSPORT, PAGE]))).toBe(0);
    expect(codeOf(client().request('Allocate', [TRANSPORT]))).toBe(401);
    expect(codeOf(client().request('Allocate', [TRANSPORT, ['ORIGIN', 'https://club.example:8443']]))).toBe(401);
    expect(asked).toEqual(['shop', 'example.org', 'club']);
    expect(allocatedEvents(server)).toMatchObject([{ realm: 'shop', origin: 'https://shop.example:443' }]);
  });

  it('does not let a client of one realm take the key of another realm for its own', () => {
    const { client } = start();
    const stranger = client();
    const challenge = stranger.once('Allocate', [TRANSPORT, PAGE]);
    expect(stranger.credentials.handleChallenge(challenge, false)).toBe('retry');
    // Signed for the shop's realm, but from a page of the club.
    expect(codeOf(stranger.once('Allocate', [TRANSPORT, ['ORIGIN', 'https://club.example:8443']]))).toBe(401);
  });

  it('takes a signed request that does not repeat its origin by the realm that it names, and the session for the rest', () => {
    const { server, client } = start();
    const shop = client();
    shop.credentials.handleChallenge(shop.once('Allocate', [TRANSPORT, PAGE]), false);
    expect(codeOf(shop.once('Allocate', [TRANSPORT]))).toBe(0);
    expect(codeOf(shop.permit(PEER))).toBe(0);
    expect(codeOf(shop.request('Refresh', [['LIFETIME', 0]]))).toBe(0);
    expect(allocatedEvents(server)).toMatchObject([{ realm: 'shop', origin: undefined }]);
  });

  it('counts a quota for each realm', () => {
    const { client } = start({ userQuota: 1 });
    expect(codeOf(client().request('Allocate', [TRANSPORT, PAGE]))).toBe(0);
    expect(codeOf(client().request('Allocate', [TRANSPORT, PAGE]))).toBe(486);
    expect(codeOf(client().request('Allocate', [TRANSPORT]))).toBe(0);
  });

  it('finds users by hash in the realm of their origin', () => {
    const realms: string[] = [];
    const { client } = start({
      findUserByHash: (_hash, realm) => {
        realms.push(realm);
        return { username: USER, password: PASSWORD };
      },
    });
    expect(codeOf(client().request('Allocate', [TRANSPORT, PAGE]))).toBe(0);
    expect(realms).toEqual(['shop']);
  });

  it.each([
    [[PAGE], [PAGE], 0],
    [[PAGE], [], 441],
    [[PAGE], [['ORIGIN', 'https://club.example:8443']], 441],
    [[PAGE], [['ORIGIN', 'https://else.example'], PAGE], 0],
    [[], [PAGE], 441],
    [[], [], 0],
  ] as [Attribute[], Attribute[], number][])(
    'with check-origin-consistency %j and then %j is %i',
    (first, then, code) => {
      const { client } = start({ checkOriginConsistency: true });
      const c = client();
      expect(codeOf(c.request('Allocate', [TRANSPORT, ...first]))).toBe(0);
      const answer = c.request('CreatePermission', [['XOR-PEER-ADDRESS', PEER], ...then]);
      expect(codeOf(answer)).toBe(code);
      expect(c.credentials.verify(answer)).toBe(true);
    },
  );

  it('does not care about the origin of later requests otherwise', () => {
    const { client } = start();
    const c = client();
    expect(codeOf(c.request('Allocate', [TRANSPORT, PAGE]))).toBe(0);
    expect(
      codeOf(
        c.request('CreatePermission', [
          ['XOR-PEER-ADDRESS', PEER],
          ['ORIGIN', 'null'],
        ]),
      ),
    ).toBe(0);
  });

  it(`refuses more than ${MAX_ORIGINS} origins`, () => {
    const { client } = start();
    const many = (count: number) => Array.from({ length: count }, (): Attribute => PAGE);
    expect(codeOf(client().once('Allocate', [TRANSPORT, ...many(MAX_ORIGINS)]))).toBe(401);
    expect(codeOf(client().once('Allocate', [TRANSPORT, ...many(MAX_ORIGINS + 1)]))).toBe(400);
  });
});
