import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../src/core/index.ts';
import { encodeWholeMessage } from '../../src/dtls/handshake-fragment.ts';
import { TicketKeys } from '../../src/dtls/index.ts';
import {
  decodeClientHello,
  decodeServerHello,
  encodeClientHello,
  encodeServerHello,
} from '../../src/dtls/messages/index.ts';
import { EXT_SESSION_TICKET, handshakeName } from '../../src/dtls/registry.ts';
import {
  authenticRecord,
  failureOf,
  handshake,
  makePair,
  type Pair,
  type PairOptions,
  PLAIN_ENV,
  recordsOf,
  rewriteMessages,
  type Secrets,
} from './harness.ts';

/** Every extension that we know is in the hellos of this pair. */
const RICH: PairOptions = {
  client: {
    alpn: ['webrtc', 'c-webrtc'],
    srtpProfiles: [1, 7],
    serverName: 'peer.example',
    connectionId: Uint8Array.of(1, 2, 3),
    recordSizeLimitBytes: 2000,
    tickets: true,
  },
  server: {
    alpn: ['webrtc'],
    srtpProfiles: [7],
    connectionId: Uint8Array.of(9, 8),
    recordSizeLimitBytes: 3000,
    ticketKeys: new TicketKeys(PLAIN_ENV),
  },
};

interface Message {
  /** Who receives it. */
  readonly to: 'client' | 'server';
  readonly type: number;
  readonly body: Uint8Array;
}

/** All plaintext handshake messages of a clean handshake, in order. */
function messagesOf(options: PairOptions): Message[] {
  const messages: Message[] = [];
  const pair = makePair(options);
  for (const [end, to] of [
    [pair.a, 'server'],
    [pair.b, 'client'],
  ] as const) {
    end.link.onSend = (datagram) => {
      for (const record of recordsOf(datagram)) {
        if (record[0] !== 22 || record[4] !== 0) continue;
        // A record may hold several messages.
        for (let at = 13; at < record.length; ) {
          const length = (record[at + 10]! << 8) | record[at + 11]!;
          messages.push({ to, type: record[at]!, body: record.slice(at + 12, at + 12 + length) });
          at += 12 + length;
        }
      }
    };
  }
  handshake(pair);
  expect([pair.client.state, pair.server.state]).toEqual(['connected', 'connected']);
  return messages;
}

/** A handshake in which one message comes out otherwise. */
function changed(message: Message, body: Uint8Array): Pair {
  const rewrite = rewriteMessages(message.type, () => body.slice());
  return handshake(makePair({ ...RICH, ...(message.to === 'client' ? { toClient: rewrite } : { toServer: rewrite }) }));
}

/** What the receiver answered, or that it went on. */
function answerTo(pair: Pair, to: 'client' | 'server'): string {
  const failure = failureOf(to === 'client' ? pair.a : pair.b);
  return failure?.by === 'local' ? String(failure.alert) : 'none';
}

const messages = messagesOf(RICH);
const named = messages.map((message) => ({ ...message, name: handshakeName(message.type) }));

/** Where a hello ends before its extensions: without any it is well formed, and lacks what we require. */
function endOfHello({ type, body }: Message): number {
  if (type === 2) return 38 + body[34]!;
  if (type !== 1) return -1;
  let at = 35 + body[34]!;
  at += 1 + body[at]!;
  at += 2 + ((body[at]! << 8) | body[at + 1]!);
  return at + 1 + body[at]!;
}

describe('malformed handshake messages', () => {
  it('all plaintext messages but HelloVerifyRequest are here', () => {
    expect(new Set(messages.map((message) => message.type))).toEqual(new Set([1, 2, 4, 11, 12, 13, 14, 15, 16]));
  });

  it.each(named.filter((message) => message.body.length > 0))(
    '$name to the $to, truncated at every byte, is a decode_error',
    (message) => {
      const answers = new Map<string, number[]>();
      // Certificates and the like are long and alike inside: every 7th byte there.
      const step = message.body.length > 300 ? 7 : 1;
      for (let length = 0; length < message.body.length; length += step) {
        const answer = answerTo(changed(message, message.body.subarray(0, length)), message.to);
        answers.set(answer, [...(answers.get(answer) ?? []), length]);
      }
      const bare = answers.get('handshake_failure') ?? [];
      expect(bare).toEqual(message.type === 1 || message.type === 2 ? [endOfHello(message)] : []);
      answers.delete('handshake_failure');
      expect([...answers.keys()]).toEqual(['decode_error']);
    },
  );

  it.each(named)('$name to the $to, with one byte more or a hundred, is a decode_error', (message) => {
    for (const more of [1, 100]) {
      const pair = changed(message, concatBytes(message.body, new Uint8Array(more)));
      expect(answerTo(pair, message.to)).toBe('decode_error');
    }
  });

  it.each(named.filter((message) => message.type === 1 || message.type === 2))(
    '$name to the $to: each extension truncated, over-long, of another length inside, and twice',
    (message) => {
      const hello = message.type === 1 ? decodeClientHello(message.body) : decodeServerHello(message.body);
      const extensions = hello.extensions ?? [];
      expect(extensions.length).toBeGreaterThanOrEqual(8);
      const withData = (index: number, data: Uint8Array): Uint8Array => {
        const list = extensions.map((e, i) => (i === index ? { ...e, data } : e));
        return message.type === 1
          ? encodeClientHello({ ...decodeClientHello(message.body), extensions: list })
          : encodeServerHello({ ...decodeServerHello(message.body), extensions: list });
      };
      for (const [index, { type, data }] of extensions.entries()) {
        // A ticket in ClientHello has no inside: any bytes are one, and an unknown one is passed over (RFC 5077 §3.4).
        if (message.type === 1 && type === EXT_SESSION_TICKET) continue;
        const answer = (bytes: Uint8Array): string => answerTo(changed(message, withData(index, bytes)), message.to);
        const wrong = new Set<string>();
        if (data.length > 0) wrong.add(answer(data.subarray(0, data.length - 1)));
        if (data.length > 1) wrong.add(answer(data.subarray(0, 1)));
        wrong.add(answer(concatBytes(data, Uint8Array.of(0))));
        expect([type, [...wrong]]).toEqual([type, ['decode_error']]);
        const twice = [...extensions, extensions[index]!];
        const body =
          message.type === 1
            ? encodeClientHello({ ...decodeClientHello(message.body), extensions: twice })
            : encodeServerHello({ ...decodeServerHello(message.body), extensions: twice });
        expect([type, answerTo(changed(message, body), message.to)]).toEqual([type, 'illegal_parameter']);
      }
    },
  );

  it('extensions in another order are as good: only the signature over the hello is wrong then, or the Finished', () => {
    const hello = messages.find((message) => message.type === 1)!;
    const decoded = decodeClientHello(hello.body);
    const body = encodeClientHello({ ...decoded, extensions: decoded.extensions?.toReversed() });
    const pair = changed(hello, body);
    expect(failureOf(pair.b)).toMatchObject({ by: 'local', alert: 'decrypt_error' });
    expect(failureOf(pair.b)?.message).toContain('CertificateVerify');
  });
});

describe('a malformed Finished, under the right keys', () => {
  it.each([
    [0, 'decode_error'],
    [11, 'decode_error'],
    [13, 'decode_error'],
    [12, 'decrypt_error'],
  ])('of %i bytes is a %s', (length, alert) => {
    const secrets: Secrets = { line: '', serverRandom: new Uint8Array(0) };
    const keyLog = (line: string): void => {
      secrets.line = line;
    };
    const toClient = rewriteMessages(2, (body) => {
      secrets.serverRandom = body.slice(2, 34);
      return body;
    });
    const toServer = (datagram: Uint8Array): Uint8Array[] =>
      recordsOf(datagram).map((record) => {
        if (record[0] !== 22 || record[4] !== 1) return record.slice();
        const finished = encodeWholeMessage(20, 4, new Uint8Array(length));
        return authenticRecord(secrets, 'client', 22, finished, 0);
      });
    const pair = handshake(makePair({ client: { keyLog }, toClient, toServer }));
    expect(answerTo(pair, 'server')).toBe(alert);
    expect(failureOf(pair.a)).toMatchObject({ by: 'remote', alert });
  });
});

describe('handshake messages out of order', () => {
  /** What may stand in the place of each message; HelloRequest is ignored by a client (RFC 5246 §7.4.1.1). */
  const LEGAL: Readonly<Record<string, readonly number[]>> = {
    'client 2': [2, 3],
    'client 11': [11],
    'client 12': [12],
    'client 13': [13, 14],
    'client 14': [14],
    'client 4': [4],
    'server 11': [11],
    'server 16': [16],
    'server 15': [15],
  };
  const TYPES = [0, 1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 22, 99];
  const places = named.filter((message) => LEGAL[`${message.to} ${message.type}`] !== undefined);

  it('every place has its turn', () => {
    expect(places).toHaveLength(Object.keys(LEGAL).length);
  });

  it.each(places)('in the place of $name to the $to every other message is unexpected', ({ to, type }) => {
    for (const other of TYPES) {
      if (LEGAL[`${to} ${type}`]?.includes(other) || (other === 0 && to === 'client')) continue;
      const swap = (datagram: Uint8Array): Uint8Array[] =>
        recordsOf(datagram).map((record) => {
          const copy = record.slice();
          if (copy[0] === 22 && copy[4] === 0 && copy[13] === type) copy[13] = other;
          return copy;
        });
      const pair = handshake(makePair({ ...RICH, ...(to === 'client' ? { toClient: swap } : { toServer: swap }) }));
      expect([handshakeName(other), answerTo(pair, to)]).toEqual([handshakeName(other), 'unexpected_message']);
    }
  });
});
