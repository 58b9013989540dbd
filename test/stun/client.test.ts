import { describe, expect, it } from 'vitest';
import { createTransmitSlot, type FiveTuple, type TransportAddress } from '../../src/core/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import {
  type Authenticated,
  decodeStun,
  encodeStun,
  LongTermServer,
  MAX_STUN_CHALLENGES,
  MAX_STUN_REDIRECTS,
  type StunAttribute,
  StunClient,
  type StunClientEvent,
  type StunClientOptions,
  type StunMessage,
  stunError,
} from '../../src/stun/index.ts';
import { SimWorld, simEnv } from '../sim/index.ts';

/*
 * The stand-alone client with credentials (RFC 8489 §9.2) and redirections (§10), against servers of one realm that do
 * what the test says.
 */

const CLIENT: TransportAddress = { ip: '198.51.100.9', port: 4000 };
const SERVERS: readonly TransportAddress[] = Array.from({ length: 8 }, (_, i) => ({
  ip: `192.0.2.${i + 1}`,
  port: 3478,
}));
const [FIRST, SECOND] = SERVERS as [TransportAddress, TransportAddress];
const env = simEnv(new SimWorld(1), nodeCrypto);
const USER = { username: 'ada', password: 'lovelace' };

type Answer = { readonly attributes: StunAttribute[]; readonly error?: true; readonly unsigned?: true };

const MAPPED: Answer = { attributes: [['XOR-MAPPED-ADDRESS', CLIENT]] };
const redirect = (...servers: readonly TransportAddress[]): Answer => ({
  error: true,
  attributes: [['ERROR-CODE', stunError(300)], ...servers.map((s): StunAttribute => ['ALTERNATE-SERVER', s])],
});

interface Asked {
  readonly server: TransportAddress;
  readonly message: StunMessage;
}

/** Runs one client to its end. @param answer - to a request that is authenticated, or to any with `open`. */
function run(
  answer: (asked: Asked) => Answer,
  options: Partial<StunClientOptions> & { readonly open?: true } = {},
): { readonly events: StunClientEvent[]; readonly asked: Asked[]; readonly client: StunClient } {
  const auth = new LongTermServer({
    env,
    realm: 'example.org',
    findUser: (username) => (username === USER.username ? USER : undefined),
  });
  const { open, ...rest } = options;
  const path: FiveTuple = { protocol: 'udp', local: CLIENT, remote: FIRST };
  const client = new StunClient({ env, path, credentials: USER, ...rest }, 0);
  const asked: Asked[] = [];
  const slot = createTransmitSlot<FiveTuple>(2000);
  for (slot.offset = 0; client.pollTransmit(slot); slot.offset = 0) {
    const message = decodeStun(slot.buffer.slice(0, slot.length));
    const server = slot.path!.remote;
    asked.push({ server, message });
    const user = open === true ? undefined : auth.authenticate(message, CLIENT);
    const rejected = user?.type === 'rejected';
    const { attributes, error, unsigned } = rejected
      ? { attributes: user.attributes, error: true, unsigned: true }
      : { error: undefined, unsigned: undefined, ...answer({ server, message }) };
    const signer: Authenticated | undefined = user?.type === 'authenticated' ? user : undefined;
    const bytes = encodeStun({
      messageClass: error === true ? 'error' : 'success',
      method: 1,
      transactionId: message.transactionId,
      attributes,
      integrity: signer === undefined || unsigned === true ? [] : [signer],
    });
    client.handleInput(bytes, { ...path, remote: server }, 5);
  }
  const events: StunClientEvent[] = [];
  for (let event = client.pollEvent(); event !== undefined; event = client.pollEvent()) events.push(event);
  return { events, asked, client };
}

const failedWith = (code: number) => [{ type: 'failed', reason: 'error-response', error: { code } }];

describe('a STUN client with credentials (RFC 8489 §9.2)', () => {
  it('answers the challenge', () => {
    const { events, asked } = run(() => MAPPED);
    expect(events).toMatchObject([{ type: 'mapped', address: CLIENT }]);
    expect(asked.map(({ message }) => message.has('MESSAGE-INTEGRITY-SHA256'))).toEqual([false, true]);
  });

  it('is refused with a wrong password, and without credentials', () => {
    expect(run(() => MAPPED, { credentials: { ...USER, password: 'guess' } }).events).toMatchObject(failedWith(401));
    const path: FiveTuple = { protocol: 'udp', local: CLIENT, remote: FIRST };
    const client = new StunClient({ env, path }, 0);
    const slot = createTransmitSlot<FiveTuple>(2000);
    client.pollTransmit(slot);
    const { transactionId } = decodeStun(slot.buffer.slice(slot.offset, slot.offset + slot.length));
    const attributes: StunAttribute[] = [['ERROR-CODE', stunError(401)]];
    client.handleInput(encodeStun({ messageClass: 'error', method: 1, transactionId, attributes }), path, 1);
    expect(client.pollEvent()).toMatchObject(failedWith(401)[0]!);
  });

  it('takes no unsigned success for an answer to a signed request', () => {
    const { events, client } = run(() => ({ ...MAPPED, unsigned: true }));
    expect(events).toEqual([]);
    expect(client.drops.get('bad-integrity')).toBe(1);
    expect(client.isDone).toBe(false);
  });

  it(`gives up after ${MAX_STUN_CHALLENGES} challenges`, () => {
    let nonce = 0;
    const { events, asked } = run(
      () => ({
        error: true,
        attributes: [
          ['ERROR-CODE', stunError(438)],
          ['REALM', 'example.org'],
          ['NONCE', Uint8Array.of(97, nonce++)],
        ],
      }),
      { open: true },
    );
    expect(events).toMatchObject(failedWith(438));
    expect(asked).toHaveLength(1 + MAX_STUN_CHALLENGES);
  });

  it.each([
    ['NONCE', new Uint8Array(764).fill(97)],
    ['NONCE', new Uint8Array(60_000).fill(97)],
  ] as const)('does not send back a %s without measure', (name, value) => {
    const attributes: StunAttribute[] = [
      ['ERROR-CODE', stunError(401)],
      ['REALM', 'example.org'],
      [name, value],
    ];
    const { events } = run(() => ({ error: true, attributes }), { open: true });
    expect(events).toEqual([{ type: 'failed', reason: 'bad-response', error: undefined }]);
  });

  it('does not send back a list of algorithms without measure', () => {
    const algorithm = { algorithm: 2, parameters: new Uint8Array(0) };
    const attributes: StunAttribute[] = [
      ['ERROR-CODE', stunError(401)],
      ['REALM', 'example.org'],
      ['NONCE', Uint8Array.of(97)],
      ['PASSWORD-ALGORITHMS', Array.from({ length: 65 }, () => algorithm)],
    ];
    const { events } = run(() => ({ error: true, attributes }), { open: true });
    expect(events).toEqual([{ type: 'failed', reason: 'bad-response', error: undefined }]);
  });
});

describe('a STUN client that is redirected (RFC 8489 §10)', () => {
  it('goes on with the same credentials where the response is signed', () => {
    const { events, asked, client } = run(({ server }) => (server === FIRST ? redirect(SECOND) : MAPPED));
    expect(events).toMatchObject([{ type: 'mapped', address: CLIENT }]);
    expect(asked.map(({ server }) => server)).toEqual([FIRST, FIRST, SECOND]);
    expect(client.path.remote).toEqual(SECOND);
    expect(asked[2]!.message.get('USERNAME')).toBe('ada');
  });

  it('takes the alternate of its own address family', () => {
    const { asked } = run(({ server }) =>
      server === FIRST ? redirect({ ip: '2001:db8::1', port: 1 }, SECOND) : MAPPED,
    );
    expect(asked.at(-1)!.server).toEqual(SECOND);
    expect(run(() => redirect({ ip: '2001:db8::1', port: 1 })).events).toMatchObject(failedWith(300));
  });

  it('stays where it is when the response is not signed (§14.8), unless told otherwise', () => {
    const answer = ({ server }: Asked) => (server === FIRST ? redirect(SECOND) : MAPPED);
    const { events, asked } = run(answer, { open: true });
    expect(events).toMatchObject(failedWith(300));
    expect(asked).toHaveLength(1);
    const told = run(answer, { open: true, followUnsignedRedirects: true });
    expect(told.events).toMatchObject([{ type: 'mapped' }]);
    // A signed request has a signed answer, or none.
    const forged = run((a) => ({ ...answer(a), unsigned: true }));
    expect(forged.events).toEqual([]);
    expect(forged.client.drops.get('bad-integrity')).toBe(1);
  });

  it('asks no server twice', () => {
    const { events, asked } = run(({ server }) => redirect(server === FIRST ? SECOND : FIRST));
    expect(events).toMatchObject(failedWith(300));
    expect(asked.map(({ server }) => server)).toEqual([FIRST, FIRST, SECOND]);
    expect(run(() => redirect(FIRST)).events).toMatchObject(failedWith(300));
  });

  it(`follows ${MAX_STUN_REDIRECTS} redirections at most`, () => {
    const { events, asked } = run(
      ({ server }) => redirect(SERVERS[SERVERS.findIndex(({ ip }) => ip === server.ip) + 1]!),
      {
        open: true,
        followUnsignedRedirects: true,
      },
    );
    expect(events).toMatchObject(failedWith(300));
    expect(asked).toHaveLength(1 + MAX_STUN_REDIRECTS);
  });

  it('over TLS tells where another connection must go, and whose certificate it must find', () => {
    const path: FiveTuple = { protocol: 'tls', local: CLIENT, remote: FIRST };
    const { attributes } = redirect(SECOND);
    const answer: Answer = { error: true, attributes: [...attributes, ['ALTERNATE-DOMAIN', 'other.example']] };
    const { events, asked } = run(() => answer, { path });
    expect(events).toMatchObject([
      { type: 'failed', reason: 'redirected', alternateServer: SECOND, alternateDomain: 'other.example' },
    ]);
    expect(asked).toHaveLength(2);
  });
});
