import type { Socket } from 'node:net';
import type { TransportAddress } from '../../src/core/index.ts';
import { bindUdpSocket } from '../../src/io/index.ts';
import type { WorkerProcess } from '../../src/server/index.ts';
import { TurnWorker } from '../../src/server/turn-worker.ts';
import type { FromWorker, ToWorker } from '../../src/server/turn-worker-messages.ts';

/**
 * A worker process that is none: it lives in this very process, with messages that are copied as they would be on the way to
 * another one.
 */
export class Resident implements WorkerProcess {
  onMessage: WorkerProcess['onMessage'] = () => undefined;
  onExit: WorkerProcess['onExit'] = () => undefined;
  readonly sent: ToWorker[] = [];
  isBusy = false;
  /** What comes to each client's socket before that is connected. */
  stray: { readonly bytes: Uint8Array; readonly from: TransportAddress } | undefined;
  /** Of clients: open ones, and all that were opened. */
  sockets = 0;
  socketsTotal = 0;
  /** Those of clients are opened after it. */
  hold: Promise<void> | undefined;
  #worker: TurnWorker | undefined;
  #isDead = false;

  send(message: ToWorker, socket?: Socket): void {
    this.sent.push(message);
    const copy = structuredClone(message);
    setImmediate(() => this.#receive(copy, socket));
  }

  disconnect(): void {
    this.#end('code 0');
  }

  kill(): void {
    this.#end('SIGKILL');
  }

  #receive(message: ToWorker, socket: Socket | undefined): void {
    if (this.#isDead) return;
    if (message.type !== 'start') {
      this.#worker?.handle(message, socket);
      return;
    }
    const channel = {
      isBusy: false,
      send: (answer: FromWorker) => {
        const copy = structuredClone(answer);
        setImmediate(() => {
          if (!this.#isDead) this.onMessage(copy);
        });
      },
    };
    this.#worker = new TurnWorker(message, channel, async (local, handlers, options) => {
      if (this.stray !== undefined) handlers.onDatagram(this.stray.bytes, this.stray.from);
      await this.hold;
      const socket = await bindUdpSocket(local, handlers, options);
      this.sockets++;
      this.socketsTotal++;
      const close = () => {
        this.sockets--;
        socket.close();
      };
      return { local: socket.local, send: (...datagram) => socket.send(...datagram), close };
    });
    void this.#worker.open();
  }

  #end(how: string): void {
    if (this.#isDead) return;
    this.#isDead = true;
    this.#worker?.close();
    setImmediate(() => this.onExit(how));
  }
}
