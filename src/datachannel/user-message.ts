import { concatBytes, type DropReason, utf8 } from '../core/index.ts';
import { PPID } from './ppid.ts';

/** Shared by all empty messages: SCTP cannot carry nothing, so one zero byte goes out (RFC 8831 §6.6). */
const ZERO_BYTE: Uint8Array = new Uint8Array(1);
/**
 * The W3C wants "the result of decoding rawData as UTF-8", in which wrong bytes become U+FFFD. A byte order mark stays, as
 * in browsers: the sender's string had it.
 */
const lenientUtf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** A user message ready for the carrier. */
export interface FramedMessage {
  readonly ppid: number;
  readonly bytes: Uint8Array;
  /** Application bytes: what `bufferedAmount` counts. */
  readonly appBytes: number;
}

/** Chooses the payload protocol identifier (RFC 8831 §6.6). Bytes are passed on, not copied. */
export function frameUserMessage(data: string | Uint8Array): FramedMessage {
  if (typeof data === 'string') {
    if (data === '') return { ppid: PPID.stringEmpty, bytes: ZERO_BYTE, appBytes: 0 };
    const bytes = utf8(data);
    return { ppid: PPID.string, bytes, appBytes: bytes.length };
  }
  if (data.length === 0) return { ppid: PPID.binaryEmpty, bytes: ZERO_BYTE, appBytes: 0 };
  return { ppid: PPID.binary, bytes: data, appBytes: data.length };
}

/** What one SCTP user message gives: a message, a part that waits for its rest, or a reason to close the channel. */
export type Unframed =
  | { readonly kind: 'message'; readonly data: string | Uint8Array; readonly bytes: number }
  | { readonly kind: 'partial' }
  | { readonly kind: 'error'; readonly reason: DropReason; readonly message: string };

/**
 * Turns the SCTP user messages of one channel back into application messages, joining the deprecated partial ones
 * (RFC 8831 §6.6), which old Firefox versions send.
 */
export class MessageReader {
  #parts: Uint8Array[] = [];
  #partsPpid: number | undefined;
  #partsBytes = 0;

  /** Bytes held for a message that is not complete. */
  get heldBytes(): number {
    return this.#partsBytes;
  }

  /** @param maxBytes - the largest message that may be joined. `bytes` is kept. */
  read(ppid: number, bytes: Uint8Array, maxBytes: number): Unframed {
    switch (ppid) {
      case PPID.string:
      case PPID.binary:
        return this.#end(ppid, bytes, maxBytes);
      case PPID.stringEmpty:
      case PPID.binaryEmpty:
        if (this.#partsPpid !== undefined) return error('bad-order', 'an empty message inside a partial one');
        return { kind: 'message', data: ppid === PPID.stringEmpty ? '' : bytes.subarray(0, 0), bytes: 0 };
      case PPID.stringPartial:
      case PPID.binaryPartial:
        return this.#hold(ppid, bytes, maxBytes);
      default:
        return error('bad-type', `unknown payload protocol identifier ${ppid}`);
    }
  }

  #hold(ppid: number, bytes: Uint8Array, maxBytes: number): Unframed {
    if (this.#partsPpid !== undefined && this.#partsPpid !== ppid)
      return error('bad-order', 'text and binary parts are mixed');
    if (this.#partsBytes + bytes.length > maxBytes)
      return error('limit', `a partial message of over ${maxBytes} bytes`);
    this.#partsPpid = ppid;
    this.#partsBytes += bytes.length;
    const last = this.#parts.at(-1);
    // Joined at once when small, so that a flood of one-byte parts does not cost an object each.
    if (last !== undefined && last.length + bytes.length <= JOIN_BYTES)
      this.#parts[this.#parts.length - 1] = concatBytes(last, bytes);
    else this.#parts.push(bytes);
    return { kind: 'partial' };
  }

  #end(ppid: number, bytes: Uint8Array, maxBytes: number): Unframed {
    let whole = bytes;
    if (this.#partsPpid !== undefined) {
      const expected = this.#partsPpid === PPID.stringPartial ? PPID.string : PPID.binary;
      if (ppid !== expected) return error('bad-order', 'text and binary parts are mixed');
      if (this.#partsBytes + bytes.length > maxBytes)
        return error('limit', `a partial message of over ${maxBytes} bytes`);
      whole = concatBytes(...this.#parts, bytes);
      this.reset();
    }
    return {
      kind: 'message',
      data: ppid === PPID.string ? lenientUtf8.decode(whole) : whole,
      bytes: whole.length,
    };
  }

  /** Forgets the parts of an incomplete message. */
  reset(): void {
    this.#parts = [];
    this.#partsPpid = undefined;
    this.#partsBytes = 0;
  }
}

const JOIN_BYTES = 4_096;

function error(reason: DropReason, message: string): Unframed {
  return { kind: 'error', reason, message };
}
