import { createTransmitSlot, resetTransmitSlot } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { SctpAssociation, type SctpEvent, type SctpOptions } from '../../src/sctp/index.ts';
import { SimWorld, simEnv } from '../sim/index.ts';
import { chunksOf, hex32, packet, tagOf } from './packets.ts';

/** A packet that the association sent. */
export interface Heard {
  readonly tag: number;
  readonly at: number;
  readonly types: readonly number[];
  readonly chunks: readonly { readonly type: number; readonly bytes: Uint8Array }[];
}

/** The tag and the first TSN of the scripted side. */
export const TAG = 0x0badcafe;
export const TSN = 5000;

/** Fixed part of an INIT or INIT ACK of the scripted side, as hexadecimal digits. */
export interface InitFields {
  readonly tag?: number;
  readonly aRwnd?: number;
  readonly outbound?: number;
  readonly inbound?: number;
  readonly tsn?: number;
  /** Parameters behind the fixed part. */
  readonly more?: string;
}

/**
 * An association whose peer is a script: it says chunk by chunk what a conformance suite would, and looks at every packet
 * of the answer. Time is the script's.
 */
export class ScriptedPeer {
  readonly core: SctpAssociation;
  readonly heard: Heard[] = [];
  readonly events: SctpEvent[] = [];
  now = 1000;
  /** The association's tag, once it has said it. */
  tag = 0;
  /** The association's first TSN. */
  tsn = 0;
  readonly #slot = createTransmitSlot<void>(4096);

  constructor(options: Partial<SctpOptions> = {}) {
    const env = simEnv(new SimWorld(1), nobleCrypto);
    this.core = new SctpAssociation({ env, initialTsn: 100, heartbeatIntervalMs: 0, ...options });
  }

  /** Feeds one packet of these chunks under the association's tag. @returns the packets of the answer. */
  say(...chunks: readonly (Uint8Array | string)[]): readonly Heard[] {
    return this.sayAs(this.tag, ...chunks);
  }

  /** The same under another tag. */
  sayAs(tag: number, ...chunks: readonly (Uint8Array | string)[]): readonly Heard[] {
    this.core.handleInput(packet(tag, ...chunks), undefined, this.now);
    this.core.handleTimeout(this.now); // what is due now, as a driver does behind a batch
    return this.drain();
  }

  /** A command of the application. @returns the packets that come of it. */
  do(command: (core: SctpAssociation, now: number) => void): readonly Heard[] {
    command(this.core, this.now);
    return this.drain();
  }

  /** Lets time pass. @returns the packets that were sent meanwhile. */
  wait(ms: number): readonly Heard[] {
    const from = this.heard.length;
    const until = this.now + ms;
    for (let due = this.core.nextTimeout(); due <= until; due = this.core.nextTimeout()) {
      this.now = Math.max(this.now, due);
      this.core.handleTimeout(this.now);
      this.drain();
    }
    this.now = until;
    return this.heard.slice(from);
  }

  drain(): readonly Heard[] {
    const from = this.heard.length;
    const slot = this.#slot;
    for (resetTransmitSlot(slot); this.core.pollTransmit(slot, this.now); resetTransmitSlot(slot)) {
      const bytes = slot.buffer.slice(slot.offset, slot.offset + slot.length);
      const chunks = chunksOf(bytes);
      this.heard.push({ tag: tagOf(bytes), at: this.now, types: chunks.map((chunk) => chunk.type), chunks });
    }
    for (let event = this.core.pollEvent(); event !== undefined; event = this.core.pollEvent()) this.events.push(event);
    return this.heard.slice(from);
  }

  /** Bytes of the messages that were delivered. */
  messages(): string[] {
    return this.events.flatMap((e) => (e.type === 'message' ? [new TextDecoder().decode(e.bytes)] : []));
  }

  /** Set-up with the association as the server. `more` are further parameters of the INIT, as hexadecimal digits. */
  connect(fields: InitFields = {}): this {
    const [ack] = this.sayAs(0, init(1, fields));
    const { bytes } = ack!.chunks[0]!;
    this.#learn(bytes);
    this.say(cookieEcho(bytes));
    return this;
  }

  #learn(init: Uint8Array): void {
    const view = new DataView(init.buffer, init.byteOffset);
    this.tag = view.getUint32(4);
    this.tsn = view.getUint32(16);
  }

  /** The association connects: up to COOKIE-WAIT. */
  awaitInitAck(): this {
    const [sent] = this.do((core, now) => core.connect(now));
    this.#learn(sent!.chunks[0]!.bytes);
    return this;
  }

  /** Its state, and the causes of what it has ended with. */
  end(): SctpEvent | undefined {
    return this.events.at(-1);
  }
}

/** INIT (1) or INIT ACK (2). */
export function init(type: 1 | 2, fields: InitFields = {}): string {
  const { tag = TAG, aRwnd = 100_000, outbound = 100, inbound = 100, tsn = TSN, more = '' } = fields;
  const length = (20 + more.length / 2).toString(16).padStart(4, '0');
  const streams = ((outbound << 16) | inbound) >>> 0;
  return `0${type}00${length}${hex32(tag)}${hex32(aRwnd)}${hex32(streams)}${hex32(tsn)}${more}`;
}

/** Supported Extensions: RE-CONFIG, FORWARD TSN; and Forward-TSN-Supported. */
export const EXTENSIONS: string = 'c0000004' + '8008000682c00000';

/** The COOKIE ECHO that an INIT ACK asks for. */
export function cookieEcho(initAck: Uint8Array): Uint8Array {
  for (let at = 20; at + 4 <= initAck.length; ) {
    const length = (initAck[at + 2]! << 8) | initAck[at + 3]!;
    if (initAck[at + 1] === 7 && initAck[at] === 0) {
      const echo = initAck.slice(at, at + length);
      echo[0] = 10;
      echo[1] = 0;
      return echo;
    }
    at += (length + 3) & ~3;
  }
  throw new Error('no cookie');
}

/** DATA; flags: 1 end, 2 begin, 4 unordered, 8 immediate. */
export function data(
  tsn: number,
  text: string,
  fields: { flags?: number; stream?: number; ssn?: number } = {},
): string {
  const { flags = 3, stream = 0, ssn = 0 } = fields;
  const bytes = new TextEncoder().encode(text);
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const length = (16 + bytes.length).toString(16).padStart(4, '0');
  return `000${flags.toString(16)}${length}${hex32(tsn)}${hex32(((stream << 16) | ssn) >>> 0)}00000033${hex}`;
}

/** SACK with gap ack blocks given as pairs of offsets. */
export function sack(cumulative: number, aRwnd = 100_000, ...gaps: readonly (readonly [number, number])[]): string {
  const length = (16 + 4 * gaps.length).toString(16).padStart(4, '0');
  const blocks = gaps.map(([from, to]) => hex32(((from << 16) | to) >>> 0)).join('');
  return `0300${length}${hex32(cumulative)}${hex32(aRwnd)}${hex32((gaps.length << 16) >>> 0)}${blocks}`;
}
