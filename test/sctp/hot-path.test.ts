import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { createTransmitSlot, resetTransmitSlot, type TransmitSlot } from '../../src/core/index.ts';
import { withRecordCipher } from '../../src/crypto/index.ts';
import { DataChannels } from '../../src/datachannel/index.ts';
import type { CipherSuiteName } from '../../src/dtls/index.ts';
import { nodeCrypto } from '../../src/io/index.ts';
import { SctpAssociation } from '../../src/sctp/index.ts';
import { makePair, PLAIN_ENV } from '../dtls/harness.ts';

/** One message a packet: another one, or a part of it, does not fit behind it. */
const MESSAGE_BYTES = 1100;
const BATCH = 32;
const WARM_UP = 400;
const MEASURED = 150;

/** What one packet, with its message, costs on one side; acknowledgements included. */
interface Cost {
  /** Bytes on the JavaScript heap. */
  readonly heap: number;
  /** Bytes of ArrayBuffers. */
  readonly buffers: number;
  /** Bytes that `set` and `slice` of typed arrays moved, for one byte of message. */
  readonly copies: number;
}

/** Data channels over SCTP over DTLS records, both sides and no network: what a datagram passes in this project. */
class Stack {
  readonly #ends;
  readonly #slot: TransmitSlot<void> = createTransmitSlot(1500);
  /** Datagrams under way, in buffers that are made once. */
  readonly #wire: Uint8Array[] = Array.from({ length: 4 * BATCH }, () => new Uint8Array(1500));
  readonly #lengths = new Int32Array(4 * BATCH);
  readonly #message = new Uint8Array(MESSAGE_BYTES).fill(7);
  readonly #channel: number;
  #now = 0;
  #underWay = 0;
  received = 0;

  constructor(suite: CipherSuiteName) {
    // What Node uses by default: our own ChaCha20-Poly1305 for records of this size, and node:crypto.
    const side = { cipherSuites: [suite], env: { ...PLAIN_ENV, crypto: withRecordCipher(nodeCrypto, 1400) } };
    const dtls = makePair({ client: side, server: side });
    dtls.a.driver.mutate((now) => dtls.client.start(now));
    dtls.world.run();
    expect([dtls.client.state, dtls.server.state]).toEqual(['connected', 'connected']);
    const [a, b] = (['client', 'server'] as const).map((role) => {
      const sctp = new SctpAssociation({ env: PLAIN_ENV, zeroChecksum: true, pacing: false });
      return { dtls: dtls[role], sctp, channels: new DataChannels({ association: sctp, role }) };
    });
    this.#ends = { a: a!, b: b! };
    this.#ends.a.sctp.connect(0);
    this.#settle();
    this.#channel = this.#ends.a.channels.open({ label: 'hot' }, 0);
    this.#settle();
  }

  #settle(): void {
    for (let i = 0; i < 5; i++) {
      this.collect('a');
      this.deliver('b');
      this.collect('b');
      this.deliver('a');
    }
  }

  send(): void {
    for (let i = 0; i < BATCH; i++) this.#ends.a.channels.send(this.#channel, this.#message, this.#now);
  }

  /** Everything that one side has to send, sealed. */
  collect(from: 'a' | 'b'): void {
    const { dtls, sctp } = this.#ends[from];
    const slot = this.#slot;
    if (this.#now >= sctp.nextTimeout()) sctp.handleTimeout(this.#now);
    for (;;) {
      resetTransmitSlot(slot);
      slot.offset += dtls.recordHeadroom;
      if (!sctp.pollTransmit(slot, this.#now)) return;
      dtls.sealInPlace(slot);
      const target = this.#wire[this.#underWay]!;
      for (let i = 0; i < slot.length; i++) target[i] = slot.buffer[slot.offset + i]!; // the network: not counted as a copy
      this.#lengths[this.#underWay++] = slot.length;
    }
  }

  /** Opens what is under way and hands it up. */
  deliver(to: 'a' | 'b'): void {
    const { dtls, sctp, channels } = this.#ends[to];
    for (let i = 0; i < this.#underWay; i++) {
      dtls.handleInput(this.#wire[i]!.subarray(0, this.#lengths[i]!), undefined, this.#now);
      for (let e = dtls.pollEvent(); e !== undefined; e = dtls.pollEvent())
        if (e.type === 'data') sctp.handleInput(e.bytes, undefined, this.#now);
      for (let e = sctp.pollEvent(); e !== undefined; e = sctp.pollEvent()) channels.handleSctpEvent(e, this.#now);
      for (let e = channels.pollEvent(); e !== undefined; e = channels.pollEvent())
        if (e.type === 'message') this.received++;
    }
    this.#underWay = 0;
    this.#now += 0.5;
  }
}

/** Counts bytes that typed arrays copy while `run` runs. */
function copiedBytes(run: () => void): number {
  const prototype = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array;
  const { set, slice } = prototype;
  let bytes = 0;
  prototype.set = function count(source, offset) {
    bytes += source.length;
    set.call(this, source, offset);
  };
  prototype.slice = function count(start, end) {
    const copy = slice.call(this, start, end);
    bytes += copy.length;
    return copy;
  };
  try {
    run();
  } finally {
    Object.assign(prototype, { set, slice });
  }
  return bytes;
}

const median = (values: number[]): number => values.sort((x, y) => x - y)[values.length >> 1]!;

/** The median over many short batches: a collection of garbage in one of them, or a compilation, does not count. */
function measure(suite: CipherSuiteName): { readonly sending: Cost; readonly receiving: Cost } {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const stack = new Stack(suite);
  const samples = { sending: [] as [number, number][], receiving: [] as [number, number][] };
  /** Heap and buffers that `run` takes, for one packet. */
  const sample = (into: [number, number][] | undefined, run: () => void) => {
    const before = process.memoryUsage();
    run();
    const after = process.memoryUsage();
    into?.push([(after.heapUsed - before.heapUsed) / BATCH, (after.arrayBuffers - before.arrayBuffers) / BATCH]);
  };
  const sendingSide = () => {
    stack.send();
    stack.collect('a');
  };
  const receivingSide = () => {
    stack.deliver('b');
    stack.collect('b');
  };
  const round = (measured: boolean) => {
    sample(measured ? samples.sending : undefined, sendingSide);
    sample(measured ? samples.receiving : undefined, receivingSide);
    stack.deliver('a');
  };
  for (let i = 0; i < WARM_UP; i++) round(false);
  collectGarbage();
  for (let i = 0; i < MEASURED; i++) round(true);
  const bytes = BATCH * MESSAGE_BYTES;
  const copies = [sendingSide, receivingSide].map((side) => copiedBytes(side) / bytes);
  stack.deliver('a');
  expect(stack.received).toBe((WARM_UP + MEASURED + 1) * BATCH);
  const cost = (list: [number, number][], copied: number): Cost => ({
    heap: median(list.map(([heap]) => heap)),
    buffers: median(list.map(([, buffers]) => buffers)),
    copies: copied,
  });
  return { sending: cost(samples.sending, copies[0]!), receiving: cost(samples.receiving, copies[1]!) };
}

/** About 1.4 times what was measured: one more object of a few fields a packet is seen, and any further copy. */
const BOUNDS: readonly [CipherSuiteName, sending: Cost, receiving: Cost][] = [
  // Our cipher reads a record into words and writes it back: two copies besides the one into the packet, or out of it.
  [
    'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
    { heap: 750, buffers: 100, copies: 3.2 },
    { heap: 1300, buffers: MESSAGE_BYTES + 100, copies: 3.2 },
  ],
  // node:crypto gives the record back in a new buffer, from where it is copied into place.
  [
    'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    { heap: 1350, buffers: MESSAGE_BYTES + 150, copies: 2.2 },
    { heap: 1700, buffers: 2 * MESSAGE_BYTES + 150, copies: 2.2 },
  ],
];

describe('what a packet of one message costs, sealed and opened', () => {
  it.each(BOUNDS)('%s: objects, buffers and copies are bounded', (suite, sending, receiving) => {
    const measured = measure(suite);
    for (const [side, bound] of Object.entries({ sending, receiving }) as ['sending' | 'receiving', Cost][]) {
      const { heap, buffers, copies } = measured[side];
      expect(heap, `${side}: bytes of heap a packet`).toBeLessThan(bound.heap);
      expect(buffers, `${side}: bytes of buffers a packet`).toBeLessThan(bound.buffers);
      expect(copies, `${side}: copies of a byte`).toBeLessThan(bound.copies);
    }
  });
});
