import { EMPTY, utf8 } from '../core/index.ts';
import type { DataChannelError } from '../datachannel/index.ts';
import { domError, domString } from './web-idl.ts';

/**
 * Web IDL overload resolution of `send`. Bytes are the caller's. A buffer that was transferred away "holds" none, where
 * JavaScript refuses to look at it.
 */
export function toMessage(data: unknown): string | Blob | Uint8Array {
  if (typeof data === 'string') return data;
  if (data instanceof Blob) return data;
  if (ArrayBuffer.isView(data)) {
    const { buffer, byteOffset, byteLength } = data;
    return byteLength === 0 ? EMPTY : new Uint8Array(buffer, byteOffset, byteLength);
  }
  if (data instanceof ArrayBuffer || isForeignArrayBuffer(data)) {
    return data.byteLength === 0 ? EMPTY : new Uint8Array(data);
  }
  return domString(data); // Web IDL: all else is text, `null` and `undefined` too
}

/** An ArrayBuffer of another realm (a vm context, jsdom): not our `instanceof`, but the same thing. */
function isForeignArrayBuffer(data: unknown): data is ArrayBuffer {
  return Object.prototype.toString.call(data) === '[object ArrayBuffer]';
}

/** Bytes that a message adds to `bufferedAmount`. */
export function messageSize(message: Blob | string | Uint8Array): number {
  return message instanceof Blob ? message.size : typeof message === 'string' ? utf8(message).length : message.length;
}

/** The bytes are ours, so their buffer can be given away where it holds nothing else. */
export function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer } = bytes;
  const whole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length;
  return whole ? buffer : new Uint8Array(bytes).buffer;
}

/** What `send` throws for what the channel refuses. */
export function toDomError(error: DataChannelError): Error {
  switch (error.code) {
    case 'message-too-large':
    case 'bad-parameters':
      return new TypeError(error.message);
    case 'not-open':
    case 'closed':
      return domError('InvalidStateError', error.message);
    default:
      return domError('OperationError', error.message);
  }
}
