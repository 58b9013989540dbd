import {
  type ByteStream,
  DecodeError,
  equalBytes,
  formatAddress,
  type Platform,
  type TransportAddress,
} from '../core/index.ts';
import { GATHERING_TIMEOUT_MS } from '../ice/index.ts';
import { decodeStun, encodeStun, newTransactionId, STUN_METHODS, StreamDeframer } from '../stun/index.ts';

/** STUN servers that one base has a connection to. */
export const MAX_TCP_STUN_CONNECTIONS = 16;

/**
 * Mapped addresses of simultaneous-open candidates (RFC 6544 §5.2): a Binding request over a TCP connection from the
 * candidate's port. The connection stays, since the NAT keeps the binding for as long as it has one there.
 */
export class TcpReflexive {
  readonly #platform: Platform;
  /** Connections whose answer has come, and those that wait for it, with their bases. */
  readonly #streams = new Map<ByteStream, TransportAddress>();
  readonly #pending = new Map<AbortController, TransportAddress>();
  #closed = false;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** @returns the mapped address of `base`; undefined when there is no answer, or no connection. Never rejects. */
  async ask(base: TransportAddress, server: TransportAddress): Promise<TransportAddress | undefined> {
    if (this.#connectionsOf(base) >= MAX_TCP_STUN_CONNECTIONS || this.#closed) return undefined;
    const abort = new AbortController();
    const cancel = this.#platform.setTimer(this.#platform.now() + GATHERING_TIMEOUT_MS, () => abort.abort());
    this.#pending.set(abort, base);
    try {
      return await this.#query(base, server, abort.signal);
    } catch (error) {
      this.#platform.env.trace.note('gatherer', `no mapped address from ${formatAddress(server)}: ${String(error)}`);
      return undefined;
    } finally {
      cancel();
      this.#pending.delete(abort);
    }
  }

  #connectionsOf(base: TransportAddress): number {
    return [...this.#streams.values(), ...this.#pending.values()].filter((other) => other === base).length;
  }

  async #query(base: TransportAddress, server: TransportAddress, signal: AbortSignal): Promise<TransportAddress> {
    const transactionId = newTransactionId(this.#platform.env);
    const deframer = new StreamDeframer();
    let settle: (outcome: TransportAddress | Error) => void = () => undefined;
    const outcome = new Promise<TransportAddress | Error>((resolve) => {
      settle = resolve;
    });
    signal.addEventListener('abort', () => settle(new Error('no answer in time')), { once: true });
    let stream: ByteStream | undefined;
    const options = { localIp: base.ip, localPort: base.port, signal };
    const handlers = {
      onData: (bytes: Uint8Array): void => {
        try {
          deframer.push(bytes, (message) => settle(readMapped(message, transactionId)));
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          settle(error);
        }
      },
      onClose: (): void => {
        if (stream !== undefined) this.#streams.delete(stream);
        settle(new Error('the server has closed the connection'));
      },
    };
    stream = await this.#platform.connectTcp?.(server, handlers, options);
    if (stream === undefined) throw new Error('this platform has no TCP');
    const method = STUN_METHODS.Binding;
    const request = encodeStun({ messageClass: 'request', method, transactionId, fingerprint: true });
    stream.write(request, 0, request.length);
    const mapped = await outcome;
    if (mapped instanceof Error || this.#closed) {
      stream.close();
      throw mapped instanceof Error ? mapped : new Error('closed meanwhile');
    }
    this.#streams.set(stream, base);
    return mapped;
  }

  /** Ends the connections, and what waits for an answer. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const abort of this.#pending.keys()) abort.abort();
    for (const stream of this.#streams.keys()) stream.close();
    this.#streams.clear();
  }
}

/** @throws {DecodeError} when the message is not the answer, or says no address. */
function readMapped(bytes: Uint8Array, transactionId: Uint8Array): TransportAddress {
  const message = decodeStun(bytes);
  const isAnswer = message.messageClass === 'success' && equalBytes(message.transactionId, transactionId);
  if (!isAnswer) throw new DecodeError('unknown-transaction', 'transaction ID', 8);
  return message.require('XOR-MAPPED-ADDRESS');
}
