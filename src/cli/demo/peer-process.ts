import type { FromPeer, ToPeer } from './messages.ts';
import { DemoPeer } from './peer.ts';

/** Entry of a peer's own process: it is told what to be over IPC, and reports back. It ends when its parent does. */

let peer: DemoPeer | undefined;

function report(message: FromPeer): void {
  if (process.connected) process.send?.(message);
}

function stop(): void {
  peer?.stop();
  peer = undefined;
  // Not at once: Node hands over what came before the listener in a loop that does not survive the end of the channel.
  setImmediate(() => {
    if (process.connected) process.disconnect();
  });
}

process.on('message', (message: ToPeer) => {
  switch (message.type) {
    case 'start':
      peer = new DemoPeer(message.config, report);
      peer.start();
      return;
    case 'say':
      peer?.say(message.text);
      return;
    case 'send-file':
      void peer?.sendFileToAll(message.path);
      return;
    case 'stop':
      stop();
  }
});
process.once('disconnect', stop);
// Ctrl-C reaches the whole process group: the parent decides, and says stop.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined);
