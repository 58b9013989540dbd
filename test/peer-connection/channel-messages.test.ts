import { describe, expect, it } from 'vitest';
import { messageSize, toMessage } from '../../src/peer-connection/channel-messages.ts';

describe('toMessage', () => {
  it('takes the range of a view, and whole buffers', () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    expect(toMessage(new DataView(bytes.buffer, 2, 3))).toEqual(Uint8Array.of(3, 4, 5));
    expect(toMessage(bytes.buffer)).toEqual(bytes);
    expect(messageSize('å')).toBe(2);
  });

  it('takes a buffer that was transferred away for an empty one, and a view of it too', () => {
    const buffer = new ArrayBuffer(8);
    const view = new Uint8Array(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    for (const gone of [buffer, view, new DataView(new ArrayBuffer(3), 3)]) {
      expect(toMessage(gone)).toEqual(new Uint8Array(0));
    }
  });
});
