import { describe, expect, it } from 'vitest';
import { hexToBytes, UsageError, utf8 } from '../../src/core/index.ts';
import {
  DataChannelError,
  decodeDcep,
  encodeDcep,
  MAX_STREAM_ID,
  PPID,
  PRIORITY,
} from '../../src/datachannel/index.ts';
import { fakePair, fakeSide } from './fake-association.ts';

const reliable = { maxRetransmits: undefined, maxPacketLifeTime: undefined };
const open = (label: string) =>
  encodeDcep({ type: 'open', ordered: true, ...reliable, priority: 256, label, protocol: '' });
const refusedWith = (code: string) => expect.objectContaining({ code });

describe('opening in-band (RFC 8832 §6)', () => {
  it('opens before the association is up, with the id of the DTLS role assigned late', () => {
    const { a, b, up, settle } = fakePair({}, {});
    const handle = a.channels.open(
      { label: 'chat', protocol: 'p', ordered: false, maxRetransmits: 2, priority: 512 },
      0,
    );
    expect(a.channels.info(handle)).toMatchObject({ id: undefined, state: 'connecting' });
    expect(a.events()).toEqual([]);
    a.channels.setRole('server', 0);
    b.channels.setRole('client', 0);
    expect(a.events()).toEqual([{ type: 'id', handle, id: 1 }]);
    up();
    expect(a.events()).toEqual([{ type: 'open', handle }]);
    settle();
    const parameters = {
      label: 'chat',
      protocol: 'p',
      ordered: false,
      maxRetransmits: 2,
      maxPacketLifeTime: undefined,
      priority: 512,
      negotiated: false,
      id: 1,
    };
    expect(b.events()).toEqual([
      { type: 'channel', handle: 1, parameters },
      { type: 'open', handle: 1 },
    ]);
    expect(a.association.sent.map((m) => [m.streamId, m.ppid, m.ordered, m.maxRetransmits])).toEqual([
      [1, PPID.dcep, true, undefined],
    ]);
    expect(b.association.sent.map((m) => decodeDcep(m.bytes))).toEqual([{ type: 'ack' }]);
    expect(b.association.priorities.get(1)).toBe(512);
  });

  it('opens where the role becomes known only after the association is up', () => {
    const { a, up } = fakePair({}, {});
    const handle = a.channels.open({}, 0);
    up();
    expect(a.events()).toEqual([]);
    a.channels.setRole('client', 0);
    expect(a.events()).toEqual([
      { type: 'id', handle, id: 0 },
      { type: 'open', handle },
    ]);
  });

  it('the client takes even ids, the server odd ones, each the lowest free one', () => {
    const { a, b, up } = fakePair();
    up();
    const ids = (side: typeof a) => [1, 2, 3].map(() => side.channels.info(side.channels.open({}, 0))?.id);
    expect(ids(a)).toEqual([0, 2, 4]);
    expect(ids(b)).toEqual([1, 3, 5]);
  });

  it('leaves out ids that negotiated channels hold', () => {
    const { a } = fakePair();
    a.channels.open({ negotiated: true, id: 0 }, 0);
    a.channels.open({ negotiated: true, id: 3 }, 0);
    expect(a.channels.info(a.channels.open({}, 0))?.id).toBe(2);
  });

  it('sends before the ACK, ordered until the peer has answered, whatever the channel is', () => {
    const { a, b, up, settle } = fakePair();
    const handle = a.channels.open({ ordered: false, maxPacketLifeTime: 50 }, 0);
    up();
    a.channels.send(handle, 'early', 0);
    settle();
    a.channels.send(handle, 'late', 0);
    expect(a.association.sent.map((m) => m.ordered)).toEqual([true, true, false]);
    expect(a.association.sent.map((m) => m.lifetimeMs)).toEqual([undefined, 50, 50]);
    expect(b.events().map((e) => e.type)).toEqual(['channel', 'open', 'message']);
  });

  it('any message of the peer counts as its answer', () => {
    const { a, up } = fakePair();
    const handle = a.channels.open({ ordered: false }, 0);
    up();
    a.association.event({ type: 'message', streamId: 0, ppid: PPID.string, bytes: utf8('x'), unordered: false });
    a.channels.send(handle, 'y', 0);
    expect(a.association.sent.at(-1)?.ordered).toBe(false);
    expect(a.channels.drops.total).toBe(0);
  });

  it('the accepting side may send unordered at once', () => {
    const { a, b, up, settle } = fakePair();
    a.channels.open({ ordered: false }, 0);
    up();
    settle();
    b.channels.send(1, 'x', 0);
    expect(b.association.sent.at(-1)?.ordered).toBe(false);
  });

  it('a DATA_CHANNEL_OPEN that finds no room goes out when there is some, and nothing passes it', () => {
    const { a, b, up, settle } = fakePair();
    a.association.sendBufferBytes = 20;
    const first = a.channels.open({ label: 'first' }, 0);
    const second = a.channels.open({ label: 'second' }, 0);
    up();
    expect(() => a.channels.send(second, 'x', 0)).toThrow(refusedWith('buffer-full'));
    a.association.deliver(0);
    a.channels.handleSctpEvent({ type: 'buffered-amount-low', streamId: 0 }, 0);
    a.channels.send(second, 'x', 0);
    settle();
    expect(b.events().map((e) => e.type)).toEqual(['channel', 'open', 'channel', 'open', 'message']);
    expect(
      a
        .events()
        .filter((e) => e.type === 'open')
        .map((e) => e.handle),
    ).toEqual([first, second]);
  });
});

describe('opening out of band (RFC 8831 §6.5)', () => {
  it('sends nothing, opens with the association and talks', () => {
    const { a, b, up, settle } = fakePair({}, {});
    const options = { negotiated: true, id: 7, ordered: false };
    const handle = a.channels.open(options, 0);
    const other = b.channels.open(options, 0);
    up();
    expect(a.association.sent).toEqual([]);
    a.channels.send(handle, 'hello', 0);
    expect(a.association.sent[0]?.ordered).toBe(false);
    settle();
    expect(b.events()).toEqual([
      { type: 'open', handle: other },
      { type: 'message', handle: other, data: 'hello' },
    ]);
  });

  it('refuses an id that is in use, also by a channel of the peer', () => {
    const { a, b, up, settle } = fakePair();
    a.channels.open({}, 0);
    up();
    settle();
    expect(() => b.channels.open({ negotiated: true, id: 0 }, 0)).toThrow(refusedWith('id-in-use'));
    expect(() => a.channels.open({ negotiated: true, id: 0 }, 0)).toThrow(refusedWith('id-in-use'));
  });
});

describe('misuse throws and changes nothing', () => {
  it.each([
    [{ label: 'é'.repeat(32_768) }, 'bad-parameters'],
    [{ protocol: 'p'.repeat(65_536) }, 'bad-parameters'],
    [{ maxRetransmits: 1, maxPacketLifeTime: 1 }, 'bad-parameters'],
    [{ maxRetransmits: -1 }, 'bad-parameters'],
    [{ maxPacketLifeTime: 0x1_0000_0000 }, 'bad-parameters'],
    [{ priority: 65_536 }, 'bad-parameters'],
    [{ negotiated: true }, 'bad-parameters'],
    [{ negotiated: true, id: 65_535 }, 'bad-parameters'],
    [{ negotiated: true, id: 1.5 }, 'bad-parameters'],
    [{ id: 1 }, 'bad-parameters'],
  ])('%j: %s', (options, code) => {
    const { channels } = fakeSide({ role: 'client' });
    expect(() => channels.open(options, 0)).toThrow(DataChannelError);
    expect(() => channels.open(options, 0)).toThrow(refusedWith(code));
    expect(channels.handles()).toEqual([]);
    expect(channels.info(channels.open({}, 0))?.id).toBe(0);
  });

  it('a handle that never was, a closed association', () => {
    const { channels, association } = fakeSide({ role: 'client' });
    expect(() => channels.send(1, '', 0)).toThrow(UsageError);
    association.event({ type: 'closed' });
    expect(() => channels.open({}, 0)).toThrow(refusedWith('closed'));
  });

  it('another role, of a peer that restarts, is for ids that are yet to be chosen', () => {
    const { channels } = fakeSide({ role: 'client' });
    const before = channels.open({}, 0);
    channels.setRole('server', 0);
    expect(channels.info(before)?.id).toBe(0);
    expect(channels.info(channels.open({}, 0))?.id).toBe(1);
  });

  it('an explicit in-band id is checked when the role becomes known', () => {
    const { channels, events } = fakeSide();
    const handle = channels.open({ id: 3 }, 0);
    channels.setRole('client', 0);
    expect(events().map((e) => [e.type, e.handle])).toEqual([
      ['error', handle],
      ['closed', handle],
    ]);
    expect(channels.info(channels.open({ negotiated: true, id: 3 }, 0))?.id).toBe(3);
  });
});

describe('the number of streams', () => {
  it('opens 65,535 channels, one on each stream up to 65,534, and no more', () => {
    const { a, b, up, settle } = fakePair();
    up();
    expect(a.channels.maxChannels).toBe(MAX_STREAM_ID + 1);
    for (let i = 0; i < 32_768; i++) a.channels.open({}, 0);
    expect(() => a.channels.open({}, 0)).toThrow(refusedWith('no-free-id'));
    for (let i = 0; i < 32_767; i++) b.channels.open({ negotiated: true, id: 2 * i + 1 }, 0);
    for (let i = 0; i < 32_767; i++) a.channels.open({ negotiated: true, id: 2 * i + 1 }, 0);
    expect(() => a.channels.open({}, 0)).toThrow(refusedWith('no-free-id'));
    expect(a.channels.handles()).toHaveLength(65_535);
    a.association.outbox.splice(10);
    settle();
  });

  it('channels beyond what the association gives are closed with an error, those within open', () => {
    const { a, up } = fakePair();
    const inside = a.channels.open({ negotiated: true, id: 9 }, 0);
    const outside = a.channels.open({ negotiated: true, id: 10 }, 0);
    up(10);
    expect(a.events().map((e) => [e.type, e.handle])).toEqual([
      ['open', inside],
      ['error', outside],
      ['closed', outside],
    ]);
    expect(() => a.channels.open({ negotiated: true, id: 10 }, 0)).toThrow(refusedWith('id-out-of-range'));
    a.association.event({ type: 'streams-added', inboundStreams: 20, outboundStreams: 20 });
    a.channels.open({ negotiated: true, id: 10 }, 0);
    expect(a.channels.maxChannels).toBe(20);
  });

  it('channels that get no id when the role becomes known are closed with an error', () => {
    const { a, up } = fakePair({}, {});
    up(3);
    const handles = [1, 2, 3].map(() => a.channels.open({}, 0));
    a.channels.setRole('client', 0);
    expect(a.events().map((e) => [e.type, e.handle])).toEqual([
      ['id', handles[0]],
      ['id', handles[1]],
      ['error', handles[2]],
      ['closed', handles[2]],
      ['open', handles[0]],
      ['open', handles[1]],
    ]);
  });
});

describe('what the peer may not send (RFC 8832 §6): the channel is closed, and never acknowledged', () => {
  const message = (streamId: number, ppid: number, bytes: Uint8Array) =>
    ({ type: 'message', streamId, ppid, bytes, unordered: false }) as const;

  it.each([
    ['030300000000000000000000', 'bad-value', 'unknown channel type'],
    ['0300000000000000000100', 'too-short', 'cut short'],
    ['030000000000000000010000ff', 'bad-value', 'label that is not UTF-8'],
  ])('DATA_CHANNEL_OPEN %s (%s: %s) resets the unused stream', (hex, reason) => {
    const { b, up } = fakePair();
    up();
    b.association.event(message(0, PPID.dcep, hexToBytes(hex)));
    expect(b.channels.drops.toJSON()).toEqual({ [reason]: 1 });
    expect(b.association.resets).toEqual([0]);
    expect(b.association.sent).toEqual([]);
    expect(b.events()).toEqual([]);
    // Both halves reset: the stream can be used again.
    b.association.event({ type: 'outgoing-reset', streamIds: [0], ok: true });
    b.association.event({ type: 'incoming-reset', streamIds: [0] });
    b.association.event(message(0, PPID.dcep, open('again')));
    expect(b.events().map((e) => e.type)).toEqual(['channel', 'open']);
  });

  it('an OPEN on a stream of our parity', () => {
    const { b, up } = fakePair();
    up();
    b.association.event(message(1, PPID.dcep, open('x')));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-value': 1 });
    expect(b.association.resets).toEqual([1]);
    expect(b.association.sent).toEqual([]);
  });

  it('an OPEN on a channel in use closes that channel', () => {
    const { a, b, up, settle } = fakePair();
    const handle = b.channels.open({ negotiated: true, id: 4 }, 0);
    up();
    b.events();
    b.association.event(message(4, PPID.dcep, open('x')));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-state': 1 });
    expect(b.events()).toEqual([{ type: 'closing', handle }]);
    expect(b.association.resets).toEqual([4]);
    a.channels.open({ negotiated: true, id: 4 }, 0);
    settle();
    expect(b.events().map((e) => e.type)).toEqual(['error', 'closed']);
  });

  it('user data on an unused stream', () => {
    const { b, up } = fakePair();
    up();
    b.association.event(message(8, PPID.binary, Uint8Array.of(1)));
    b.association.event(message(8, PPID.binary, Uint8Array.of(1)));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-state': 1, closed: 1 });
    expect(b.association.resets).toEqual([8]);
  });

  it('user data on an unused stream is only dropped where the composer wants it so, as browsers do', () => {
    const { b, up } = fakePair({ role: 'client' }, { role: 'server', onUnknownStream: 'drop' });
    up();
    b.association.event(message(8, PPID.binary, Uint8Array.of(1)));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-state': 1 });
    expect(b.association.resets).toEqual([]);
    expect(b.channels.open({ negotiated: true, id: 8 }, 0)).toBe(1);
  });

  it('unknown DCEP messages and stray ACKs are counted and change nothing', () => {
    const { a, b, up, settle } = fakePair();
    const handle = a.channels.open({}, 0);
    up();
    settle();
    b.association.event(message(0, PPID.dcep, Uint8Array.of(9)));
    b.association.event(message(0, PPID.dcep, Uint8Array.of(2, 0)));
    b.association.event(message(0, PPID.dcep, Uint8Array.of(2)));
    b.association.event(message(6, PPID.dcep, Uint8Array.of(2)));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-type': 1, 'trailing-bytes': 1, 'bad-state': 2 });
    expect(b.association.resets).toEqual([]);
    a.channels.send(handle, 'still there', 0);
    settle();
    expect(b.events().at(-1)).toMatchObject({ data: 'still there' });
  });

  it('an OPEN on a stream that we cannot answer on is dropped', () => {
    const { b } = fakePair();
    b.association.event({ type: 'connected', inboundStreams: 65_535, outboundStreams: 4 });
    b.association.event(message(4, PPID.dcep, open('x')));
    b.association.event(message(6, PPID.dcep, Uint8Array.of(3)));
    expect(b.channels.drops.toJSON()).toEqual({ 'bad-value': 1, 'too-short': 1 });
    expect(b.association.resets).toEqual([]);
  });

  it('labels beyond the bound refuse further channels until one closes', () => {
    const { a, b, up, settle } = fakePair({ role: 'client' }, { role: 'server', maxPeerLabelBytes: 100 });
    up();
    const first = a.channels.open({ label: 'x'.repeat(60) }, 0);
    const second = a.channels.open({ label: 'y'.repeat(60) }, 0);
    settle();
    expect(b.channels.drops.toJSON()).toEqual({ limit: 1 });
    expect(b.events().filter((e) => e.type === 'channel')).toHaveLength(1);
    // RFC 8832 §6: a reset without an ACK tells the opener that it failed.
    expect(
      a
        .events()
        .filter((e) => e.handle === second)
        .map((e) => e.type),
    ).toEqual(['id', 'open', 'closing', 'error', 'closed']);
    a.channels.close(first, 0);
    settle();
    a.channels.open({ label: 'y'.repeat(60) }, 0);
    settle();
    expect(b.events().filter((e) => e.type === 'channel')).toHaveLength(1);
  });

  it('a priority of 0 still gets a weight', () => {
    const { b, up } = fakePair();
    up();
    const bytes = encodeDcep({ type: 'open', ordered: true, ...reliable, priority: 0, label: '', protocol: '' });
    b.association.event(message(0, PPID.dcep, bytes));
    expect(b.association.priorities.get(0)).toBe(1);
    expect(b.channels.info(1)?.priority).toBe(0);
    expect(PRIORITY.normal).toBe(256);
  });
});
