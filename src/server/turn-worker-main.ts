/** The program of one worker process; `TurnWorkers` starts it. Ends with the channel to its parent. */
import { Socket } from 'node:net';
import { TurnWorker } from './turn-worker.ts';
import type { FromWorker, ToWorker } from './turn-worker-messages.ts';
import { isMessage } from './turn-worker-process.ts';

let worker: TurnWorker | undefined;

let busyWith: FromWorker | undefined;

const channel = {
  get isBusy(): boolean {
    return busyWith !== undefined;
  },
  send(message: FromWorker): void {
    if (!process.connected) return;
    // An error in the callback means that the parent is gone.
    const isTaken = process.send?.(message, undefined, undefined, () => {
      if (busyWith === message) busyWith = undefined;
    });
    if (isTaken === false) busyWith = message;
  },
};

process.on('message', (message: unknown, handle: unknown) => {
  if (!isMessage<ToWorker>(message)) return;
  if (worker !== undefined) {
    worker.handle(message, handle instanceof Socket ? handle : undefined);
  } else if (message.type === 'start') {
    try {
      worker = new TurnWorker(message, channel);
      worker.open().catch(fail);
    } catch (error) {
      fail(error);
    }
  }
});
process.on('disconnect', () => {
  worker?.close();
  process.exit();
});
// A terminal and some supervisors signal the whole group: it is for the parent to say what becomes of the allocations.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('SIGHUP', () => undefined);

function fail(error: unknown): void {
  channel.send({ type: 'failed', reason: error instanceof Error ? error.message : String(error) });
}
