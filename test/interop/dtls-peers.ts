import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Driver, type Env, type Host, type Instant, SILENT, type TransmitSlot, utf8 } from '../../src/core/index.ts';
import { type CertificateOptions, generateCertificate } from '../../src/crypto/index.ts';
import type { DtlsCertificate, DtlsEndpoint, DtlsEvent } from '../../src/dtls/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { requireProgram } from './peers.ts';

const LOOPBACK = '127.0.0.1';
/** Longer than a loopback handshake with some retransmissions ever takes. */
const PATIENCE_MS = 20_000;

export const ENV: Env = {
  random: (out) => nodeCrypto.random(out),
  wallClockMs: () => Date.now(),
  crypto: nodeCrypto,
  trace: SILENT,
};

/** Text that grows, and promises for what will stand in it. */
class Transcript {
  text = '';
  #waiters: { readonly pattern: RegExp; readonly from: number; readonly resolve: (match: RegExpExecArray) => void }[] =
    [];

  append(text: string): void {
    this.text += text;
    this.#waiters = this.#waiters.filter((waiter) => {
      const match = waiter.pattern.exec(this.text.slice(waiter.from));
      if (match !== null) waiter.resolve(match);
      return match === null;
    });
  }

  /** Resolves when the pattern matches what was written, behind `from`. */
  find(pattern: RegExp, from: number): Promise<RegExpExecArray> {
    const match = pattern.exec(this.text.slice(from));
    if (match !== null) return Promise.resolve(match);
    return new Promise((resolve) => this.#waiters.push({ pattern, from, resolve }));
  }
}

/** Rejects after {@link PATIENCE_MS}, so that a hang names what it waited for. */
function patiently<T>(what: string, promise: Promise<T>, context: () => string): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}:\n${context()}`)), PATIENCE_MS);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** A peer's program: its output is what we wait on; only this very process is ever ended. */
export class PeerProcess {
  readonly #child: ChildProcess;
  readonly #output = new Transcript();
  readonly #exited: Promise<unknown>;

  constructor(program: string, args: readonly string[]) {
    this.#child = spawn(requireProgram(program), args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#exited = once(this.#child, 'exit');
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#output.append(text));
    }
    this.#child.stdin?.on('error', (error) => this.#output.append(`stdin: ${error.message}\n`));
  }

  get output(): string {
    return this.#output.text;
  }

  /** Resolves when the program has printed it. */
  printed(pattern: RegExp, from = 0): Promise<RegExpExecArray> {
    return patiently(String(pattern), this.#output.find(pattern, from), () => this.output);
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  exited(): Promise<unknown> {
    return patiently('the end of the program', this.#exited, () => this.output);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** One DTLS core over a plain UDP socket: the module alone, without any other part of the project. */
export class UdpDtls<C extends DtlsEndpoint> {
  readonly core: C;
  readonly events: DtlsEvent[] = [];
  readonly #socket: Socket;
  readonly #driver: Driver<DtlsEvent>;
  readonly #log = new Transcript();
  #remotePort: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #receivedBytes = 0;
  #onData: () => void = () => undefined;

  private constructor(core: C, socket: Socket, remotePort: number | undefined) {
    this.core = core;
    this.#socket = socket;
    this.#remotePort = remotePort;
    const host: Host<void> = {
      now: () => performance.now(),
      send: (slot: TransmitSlot<void>) => {
        const datagram = Uint8Array.from(slot.buffer.subarray(slot.offset, slot.offset + slot.length));
        if (this.#remotePort !== undefined) socket.send(datagram, this.#remotePort, LOOPBACK);
      },
      wakeAt: (at: Instant) => {
        clearTimeout(this.#timer);
        if (at !== Number.POSITIVE_INFINITY) {
          this.#timer = setTimeout(() => this.#driver.wake(), Math.max(0, Math.ceil(at - performance.now())));
        }
      },
    };
    this.#driver = new Driver<DtlsEvent>(core, host, (event) => {
      this.events.push(event);
      if (event.type === 'data') {
        this.#receivedBytes += event.bytes.length;
        this.#log.append(`data:${new TextDecoder().decode(event.bytes)}\n`);
        this.#onData();
      } else if (event.type === 'failed') this.#log.append(`failed:${JSON.stringify(event.error)}\n`);
      else this.#log.append(`${event.type}\n`);
    });
    socket.on('message', (bytes, from) => {
      this.#remotePort ??= from.port;
      this.#driver.input(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length), undefined);
    });
  }

  /** @param remotePort - absent for a server, which answers the first client it hears. */
  static async open<C extends DtlsEndpoint>(core: C, remotePort?: number): Promise<UdpDtls<C>> {
    const socket = createSocket('udp4');
    socket.bind(0, LOOPBACK);
    await once(socket, 'listening');
    return new UdpDtls(core, socket, remotePort);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  mutate(command: (core: C, now: Instant) => void): void {
    this.#driver.mutate((now) => command(this.core, now));
  }

  send(text: string): void {
    this.mutate((core, now) => core.send(utf8(text), now));
  }

  /** Resolves when an event was seen: its type, or `data:` and the text. A failure is reported at once. */
  async happened(pattern: RegExp): Promise<void> {
    const seen = this.#log.find(pattern, 0);
    const failed = this.#log.find(/^failed:(.*)$/m, 0).then((match) => {
      if (!pattern.test(match[0])) throw new Error(`the connection failed: ${match[1]}`);
    });
    await patiently(String(pattern), Promise.race([seen, failed]), () => this.#log.text);
  }

  /** Resolves with the number of data bytes received, once there are at least so many. */
  receivedBytes(atLeast: number): Promise<number> {
    const enough = new Promise<number>((resolve) => {
      const look = (): void => {
        if (this.#receivedBytes >= atLeast) resolve(this.#receivedBytes);
        else this.#onData = look;
      };
      look();
    });
    return patiently(`${atLeast} bytes`, enough, () => `${this.#receivedBytes} bytes`);
  }

  close(): void {
    this.#driver.close();
    this.#socket.close();
  }
}

/** A port that was free a moment ago, for programs that cannot say which one they got. */
export async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

export interface CertificateFiles extends DtlsCertificate {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Certificates as files for the programs, in a folder of their own. */
export class Credentials {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'purertc-dtls-'));
  #count = 0;

  make(options: CertificateOptions = {}): CertificateFiles {
    const certificate = generateCertificate(ENV, options);
    const name = `${options.keyType ?? 'ecdsa-p256'}-${this.#count++}`;
    const certificateFile = this.write(`${name}.pem`, pem('CERTIFICATE', certificate.der));
    const keyFile = this.write(`${name}-key.pem`, pem('PRIVATE KEY', certificate.key.exportPkcs8()));
    return { ...certificate, certificateFile, keyFile };
  }

  write(name: string, text: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
