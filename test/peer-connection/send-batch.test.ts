import { describe, expect, it } from 'vitest';
import { BATCH_BYTES, SendBatch } from '../../src/peer-connection/send-batch.ts';

/** A batch over a queue of message lengths; each drain takes all of it. */
function sender(): { readonly send: (bytes: number) => void; readonly left: number[][] } {
  const left: number[][] = [];
  let waiting: number[] = [];
  const batch = new SendBatch(() => {
    left.push(waiting);
    waiting = [];
  });
  return {
    left,
    send: (bytes) => {
      waiting.push(bytes);
      batch.noteSent(bytes);
    },
  };
}

describe('SendBatch', () => {
  it('lets a lone message leave at once', () => {
    const { send, left } = sender();
    send(100);
    expect(left).toEqual([[100]]);
  });

  it('joins what follows in the same turn, and lets it leave when the turn ends', async () => {
    const { send, left } = sender();
    for (const bytes of [1, 2, 3]) send(bytes);
    expect(left).toEqual([[1]]);
    await Promise.resolve();
    expect(left).toEqual([[1], [2, 3]]);
  });

  it('does not keep empty messages longer than others', async () => {
    const { send, left } = sender();
    for (const bytes of [0, 0]) send(bytes);
    await Promise.resolve();
    expect(left).toEqual([[0], [0]]);
  });

  it('keeps no more than the largest datagram', () => {
    const { send, left } = sender();
    send(10);
    const half = BATCH_BYTES / 2;
    for (let i = 0; i < 4; i++) send(half);
    expect(left).toEqual([[10], [half, half], [half, half]]);
  });

  it('begins again with the next turn, and does nothing when nothing was kept', async () => {
    const { send, left } = sender();
    send(1);
    await Promise.resolve();
    send(2);
    expect(left).toEqual([[1], [2]]);
    await Promise.resolve();
    expect(left).toEqual([[1], [2]]);
  });
});
