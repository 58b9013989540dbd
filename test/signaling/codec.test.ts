import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../src/core/index.ts';
import {
  type ClientMessage,
  decodeClientMessage,
  decodeServerMessage,
  ERROR_CODES,
  encodeClientMessage,
  encodeServerMessage,
  MAX_CANDIDATE_CHARACTERS,
  MAX_MESSAGE_BYTES,
  MAX_MID_CHARACTERS,
  MAX_NAME_CHARACTERS,
  MAX_PING_ID,
  MAX_ROOM_CHARACTERS,
  MAX_SERVER_MESSAGE_BYTES,
  type ServerMessage,
} from '../../src/signaling/index.ts';
import clientVectors from '../vectors/signaling/client-messages.json' with { type: 'json' };
import serverVectors from '../vectors/signaling/server-messages.json' with { type: 'json' };

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (encoded: Uint8Array): string => new TextDecoder().decode(encoded);
const A = '0123456789abcdef';

describe('messages of a client', () => {
  it.each(clientVectors.cases)('$name decodes and re-encodes to the same bytes', (vector) => {
    const message = decodeClientMessage(bytes(vector.text));
    expect(message).toEqual(vector.message);
    expect(text(encodeClientMessage(message))).toBe(vector.text);
  });

  const join = (room: unknown, name: unknown = 'n') => JSON.stringify({ type: 'join', room, name });
  const describe_ = (description: unknown, to: unknown = A) => JSON.stringify({ type: 'description', to, description });
  const candidate = (value: unknown) => JSON.stringify({ type: 'candidate', to: A, candidate: value });
  it.each([
    ['nothing', '', 'bad-value', 'message'],
    ['half an object', '{"type":"leave"', 'bad-value', 'message'],
    ['a byte order mark', '\ufeff{"type":"leave"}', 'bad-value', 'message'],
    ['an array', '[]', 'bad-value', 'message'],
    ['null', 'null', 'bad-value', 'message'],
    ['a string', '"leave"', 'bad-value', 'message'],
    ['deep nesting', '['.repeat(MAX_MESSAGE_BYTES), 'bad-value', 'message'],
    ['one byte too many', `{"type":"leave"}${' '.repeat(MAX_MESSAGE_BYTES - 15)}`, 'limit', 'message'],
    ['no type', '{}', 'missing', 'type'],
    ['a type from the prototype', '{"__proto__":{"type":"leave"}}', 'missing', 'type'],
    ['a type that is no text', '{"type":1}', 'bad-value', 'type'],
    ['an unknown type', '{"type":"shout"}', 'bad-type', 'type'],
    ["a server's type", `{"type":"welcome","id":"${A}","room":"r","peers":[]}`, 'bad-type', 'type'],
    ['no room', '{"type":"join","name":"n"}', 'missing', 'room'],
    ['no name', '{"type":"join","room":"r"}', 'missing', 'name'],
    ['an empty room', join(''), 'bad-value', 'room'],
    ['a room of too many characters', join('r'.repeat(MAX_ROOM_CHARACTERS + 1)), 'bad-value', 'room'],
    ['a room with a control character', join('a\nb'), 'bad-value', 'room'],
    ['a room with half a surrogate pair', join('\ud800'), 'bad-value', 'room'],
    ['a room that is a number', join(5), 'bad-value', 'room'],
    ['a name of too many characters', join('r', '🌱'.repeat(MAX_NAME_CHARACTERS + 1)), 'bad-value', 'name'],
    ['a name that is null', join('r', null), 'bad-value', 'name'],
    ['a peer id in upper case', describe_({ type: 'offer', sdp: 'v=0' }, A.toUpperCase()), 'bad-value', 'to'],
    ['a short peer id', describe_({ type: 'offer', sdp: 'v=0' }, A.slice(1)), 'bad-value', 'to'],
    ['no peer id', '{"type":"candidate","candidate":null}', 'missing', 'to'],
    ['no description', `{"type":"description","to":"${A}"}`, 'missing', 'description'],
    ['a description that is text', describe_('v=0'), 'bad-value', 'description'],
    ['an unknown description type', describe_({ type: 'proposal', sdp: 'v=0' }), 'bad-value', 'type'],
    ['an offer without SDP', describe_({ type: 'offer' }), 'missing', 'sdp'],
    ['an offer with empty SDP', describe_({ type: 'offer', sdp: '' }), 'bad-value', 'sdp'],
    ['no candidate', `{"type":"candidate","to":"${A}"}`, 'missing', 'candidate'],
    ['a candidate that is text', candidate('candidate:1'), 'bad-value', 'candidate'],
    ['a candidate without its line', candidate({ sdpMid: '0' }), 'missing', 'candidate'],
    [
      'a long candidate line',
      candidate({ candidate: 'c'.repeat(MAX_CANDIDATE_CHARACTERS + 1) }),
      'bad-value',
      'candidate',
    ],
    ['a long sdpMid', candidate({ candidate: '', sdpMid: 'm'.repeat(MAX_MID_CHARACTERS + 1) }), 'bad-value', 'sdpMid'],
    ['an sdpMid that is a number', candidate({ candidate: '', sdpMid: 0 }), 'bad-value', 'sdpMid'],
    ['a negative sdpMLineIndex', candidate({ candidate: '', sdpMLineIndex: -1 }), 'bad-value', 'sdpMLineIndex'],
    ['a broken sdpMLineIndex', candidate({ candidate: '', sdpMLineIndex: 0.5 }), 'bad-value', 'sdpMLineIndex'],
    ['a large sdpMLineIndex', candidate({ candidate: '', sdpMLineIndex: 65_536 }), 'bad-value', 'sdpMLineIndex'],
    [
      'a long ufrag',
      candidate({ candidate: '', usernameFragment: 'u'.repeat(MAX_MID_CHARACTERS + 1) }),
      'bad-value',
      'usernameFragment',
    ],
    ['a ping without a number', '{"type":"ping"}', 'missing', 'id'],
    ['a ping with text', '{"type":"ping","id":"1"}', 'bad-value', 'id'],
    ['a ping above 2^31 - 1', `{"type":"ping","id":${MAX_PING_ID + 1}}`, 'bad-value', 'id'],
  ])('rejects %s', (_name, input, reason, field) => {
    expect(() => decodeClientMessage(bytes(input))).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason, field }),
    );
  });

  it('accepts the longest of everything', () => {
    const longest = {
      join: join('r'.repeat(MAX_ROOM_CHARACTERS), '🌱'.repeat(MAX_NAME_CHARACTERS)),
      candidate: candidate({
        candidate: 'c'.repeat(MAX_CANDIDATE_CHARACTERS),
        sdpMid: 'm'.repeat(MAX_MID_CHARACTERS),
        usernameFragment: 'u'.repeat(MAX_MID_CHARACTERS),
      }),
      ping: `{"type":"ping","id":${MAX_PING_ID}}`,
      padded: `{"type":"leave"}${' '.repeat(MAX_MESSAGE_BYTES - 16)}`,
    };
    for (const [type, message] of Object.entries(longest)) {
      expect(decodeClientMessage(bytes(message)).type).toBe(type === 'padded' ? 'leave' : type);
    }
    const pong = '{"type":"pong","id":1}';
    expect(decodeServerMessage(bytes(pong + ' '.repeat(MAX_SERVER_MESSAGE_BYTES - pong.length))).type).toBe('pong');
    expect(() => decodeServerMessage(bytes(pong + ' '.repeat(MAX_SERVER_MESSAGE_BYTES)))).toThrow('limit');
  });

  it('rejects bytes that are not UTF-8', () => {
    expect(() => decodeClientMessage(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason: 'bad-value', field: 'message' }),
    );
  });

  it('drops fields that it does not know', () => {
    const message = decodeClientMessage(
      bytes(`{"type":"candidate","to":"${A}","x":1,"candidate":{"candidate":"c","evil":{}},"__proto__":{"y":2}}`),
    );
    expect(text(encodeClientMessage(message))).toBe(`{"type":"candidate","to":"${A}","candidate":{"candidate":"c"}}`);
  });
});

describe('messages of a server', () => {
  it.each(serverVectors.cases)('$name decodes and re-encodes to the same bytes', (vector) => {
    const message = decodeServerMessage(bytes(vector.text));
    expect(message).toEqual(vector.message);
    expect(text(encodeServerMessage(message))).toBe(vector.text);
  });

  it.each([
    ["a client's type", '{"type":"leave"}', 'bad-type', 'type'],
    ['peers that are no list', `{"type":"welcome","id":"${A}","room":"r","peers":{}}`, 'bad-value', 'peers'],
    ['a peer that is null', `{"type":"welcome","id":"${A}","room":"r","peers":[null]}`, 'bad-value', 'peers'],
    ['a peer without a name', `{"type":"peer-joined","peer":{"id":"${A}"}}`, 'missing', 'name'],
    ['a joining nobody', '{"type":"peer-joined"}', 'missing', 'peer'],
    ['an unknown reason', `{"type":"peer-left","id":"${A}","reason":"bored"}`, 'bad-value', 'reason'],
    ['an unknown code', '{"type":"error","code":"boo","message":""}', 'bad-value', 'code'],
    ['an error without a message', '{"type":"error","code":"idle"}', 'missing', 'message'],
    ['an error to nobody', '{"type":"error","code":"idle","message":"","to":""}', 'bad-value', 'to'],
  ])('rejects %s', (_name, input, reason, field) => {
    expect(() => decodeServerMessage(bytes(input))).toThrow(
      expect.objectContaining({ name: 'DecodeError', reason, field }),
    );
  });
});

describe('any message', () => {
  const id = fc.stringMatching(/^[0-9a-f]{16}$/);
  const label = (min: number) =>
    fc.string({ unit: 'binary', minLength: min, maxLength: 64 }).filter((value) => !/[\p{Cc}\p{Cs}]/u.test(value));
  const description = fc.record({
    type: fc.constantFrom('offer' as const, 'answer' as const, 'pranswer' as const),
    sdp: fc.string({ unit: 'binary', minLength: 1, maxLength: 500 }),
  });
  const shortText = fc.option(fc.string({ maxLength: 256 }));
  const candidate = fc.option(
    fc.record(
      {
        candidate: fc.string({ maxLength: 1024 }),
        sdpMid: shortText,
        sdpMLineIndex: fc.option(fc.nat(0xffff)),
        usernameFragment: shortText,
      },
      { requiredKeys: ['candidate'], noNullPrototype: true },
    ),
  );
  const clientMessage: fc.Arbitrary<ClientMessage> = fc.oneof(
    fc.record({ type: fc.constant('join' as const), room: label(1), name: label(0) }),
    fc.record({ type: fc.constant('description' as const), to: id, description }),
    fc.record({ type: fc.constant('candidate' as const), to: id, candidate }),
    fc.record({ type: fc.constant('ping' as const), id: fc.nat(0x7fff_ffff) }),
  );
  const peer = fc.record({ id, name: label(0) });
  const serverMessage: fc.Arbitrary<ServerMessage> = fc.oneof(
    fc.record({ type: fc.constant('welcome' as const), id, room: label(1), peers: fc.array(peer, { maxLength: 8 }) }),
    fc.record({ type: fc.constant('description' as const), from: id, description }),
    fc.record({ type: fc.constant('candidate' as const), from: id, candidate }),
    fc.record({ type: fc.constant('error' as const), code: fc.constantFrom(...ERROR_CODES), message: fc.string() }),
  );

  it('survives encoding and decoding', () => {
    fc.assert(
      fc.property(clientMessage, (message) => {
        expect(decodeClientMessage(encodeClientMessage(message))).toEqual(message);
      }),
    );
    fc.assert(
      fc.property(serverMessage, (message) => {
        expect(decodeServerMessage(encodeServerMessage(message))).toEqual(message);
      }),
    );
  });

  it.each([
    ['client', (input: Uint8Array) => encodeClientMessage(decodeClientMessage(input))],
    ['server', (input: Uint8Array) => encodeServerMessage(decodeServerMessage(input))],
  ] as const)(
    'arbitrary and mutated bytes for a %s decode to something stable or throw DecodeError',
    (_side, again) => {
      const outcome = (input: Uint8Array): void => {
        try {
          const once = again(input);
          expect(again(once)).toEqual(once);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      };
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), outcome));
      fc.assert(fc.property(fc.json().map(bytes), outcome));
      const messages = fc.oneof(clientMessage.map(encodeClientMessage), serverMessage.map(encodeServerMessage));
      fc.assert(
        fc.property(messages, fc.nat(), fc.nat(255), (message, at, value) => {
          const mutated = message.slice();
          mutated[at % mutated.length] = value;
          outcome(mutated);
        }),
      );
    },
  );
});
