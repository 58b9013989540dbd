import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { CertificateOptions } from '../../src/crypto/index.ts';
import { DtlsClient, type DtlsClientOptions, DtlsServer, type DtlsServerOptions } from '../../src/dtls/index.ts';
import { type CertificateFiles, Credentials, ENV, PeerProcess, UdpDtls } from './dtls-peers.ts';

const MEBIBYTE = 1024 * 1024;
const LINE = `${'x'.repeat(1023)}\n`;
/** Lines on their way at one time: UDP on loopback drops what the other side has not read yet. */
const LINES_IN_STEP = 16;

/** Every certificate type and signature, with the suites that go with it. */
export const KEYS_AND_SUITES = [
  ['ecdsa-p256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['ecdsa-p384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['ed25519', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['rsa', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
  ['rsa', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384'],
  ['rsa', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'],
] as const;

/**
 * The table at which one of our cores and a peer's program meet: certificates for both, and everything that was started is
 * stopped behind each test. Make one inside `describe`.
 */
export class DtlsTable {
  readonly credentials: Credentials = new Credentials();
  readonly #running: (() => void | Promise<void>)[] = [];
  #ours: CertificateFiles | undefined;
  #theirs: CertificateFiles | undefined;

  /** @param peer - its name, for its certificate. @param options - for both certificates. */
  constructor(peer: string, options: CertificateOptions = {}) {
    beforeAll(() => {
      this.#ours = this.credentials.make({ ...options, commonName: 'purertc' });
      this.#theirs = this.credentials.make({ ...options, commonName: peer });
    });
    afterEach(async () => {
      for (const stop of this.#running.splice(0).reverse()) await stop();
    });
    afterAll(() => this.credentials.remove());
  }

  /** Our certificate. */
  get ours(): CertificateFiles {
    if (this.#ours === undefined) throw new Error('certificates are made before the first test');
    return this.#ours;
  }

  /** The peer's. */
  get theirs(): CertificateFiles {
    if (this.#theirs === undefined) throw new Error('certificates are made before the first test');
    return this.#theirs;
  }

  /** Starts a program. */
  start(program: string, args: readonly string[]): PeerProcess {
    const peer = new PeerProcess(program, args);
    this.onEnd(() => peer.stop());
    return peer;
  }

  /** Runs behind the test; the last one first. */
  onEnd(stop: () => void | Promise<void>): void {
    this.#running.push(stop);
  }

  /** Our client, on its way to the peer's server. */
  async connect(port: number, options: Partial<DtlsClientOptions> = {}): Promise<UdpDtls<DtlsClient>> {
    const client = new DtlsClient({ env: ENV, certificate: this.ours, verifyPeer: () => undefined, ...options });
    const udp = await UdpDtls.open(client, port);
    this.onEnd(() => udp.close());
    udp.mutate((core, now) => core.start(now));
    return udp;
  }

  /** Our server, for one client. */
  async listen(options: Partial<DtlsServerOptions> = {}): Promise<UdpDtls<DtlsServer>> {
    const server = new DtlsServer({
      env: ENV,
      certificate: this.ours,
      requestClientCertificate: true,
      verifyPeer: () => undefined,
      ...options,
    });
    const udp = await UdpDtls.open(server);
    this.onEnd(() => udp.close());
    return udp;
  }
}

/**
 * A program that prints what it receives and sends what is typed: 1 MiB of records each way, in step, none lost.
 * @param lines - typed at one time: one, where the program makes a record of all that it has read, however long.
 */
export async function mebibyteEachWay(
  udp: UdpDtls<DtlsClient | DtlsServer>,
  peer: PeerProcess,
  lines: number = LINES_IN_STEP,
): Promise<void> {
  let received = 0;
  for (let sent = 0; sent < MEBIBYTE; sent += lines * LINE.length) {
    const before = peer.output.length;
    for (let i = 0; i < lines; i++) udp.send(LINE);
    await peer.printed(new RegExp(`^[^]{${lines * LINE.length}}`), before);
    const from = received;
    peer.type(LINE.repeat(lines));
    received = await udp.receivedBytes(from + lines * LINE.length);
  }
  expect(received).toBe(MEBIBYTE);
  expectNoneLost(udp);
}

/** A loaded machine answers late, so a Finished may have come twice; no other input was dropped. */
function expectNoneLost(udp: UdpDtls<DtlsClient | DtlsServer>): void {
  expect({ ...udp.core.drops.toJSON(), stale: 0 }).toEqual({ stale: 0 });
}

/** A program that echoes: 1 MiB of records there and back. */
export async function mebibyteThereAndBack(udp: UdpDtls<DtlsClient | DtlsServer>): Promise<void> {
  let received = 0;
  while (received < MEBIBYTE) {
    for (let i = 0; i < LINES_IN_STEP; i++) udp.send(LINE);
    received = await udp.receivedBytes(received + LINES_IN_STEP * LINE.length);
  }
  expect(received).toBe(MEBIBYTE);
  expectNoneLost(udp);
}
