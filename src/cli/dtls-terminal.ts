import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { type Env, formatAddress, hexToBytes, type Platform, type TransportAddress, utf8 } from '../core/index.ts';
import { certificateFingerprint, generateCertificate } from '../crypto/index.ts';
import type { Negotiated } from '../dtls/index.ts';
import {
  type DtlsPeer,
  DtlsServer,
  DtlsSocket,
  judgeOf,
  type Log,
  type OwnCertificate,
  type PeerTrust,
  serverNameOf,
  systemAuthorities,
} from '../server/index.ts';
import { CliError, CliUsageError } from './exit.ts';

/** What of standard input goes into one record: with all headers it fits nearly every path's MTU. */
export const MAX_RECORD_BYTES = 1200;

/** What waits for a slow standard output; what arrives beyond it is lost, as in a full queue of a router. */
export const MAX_WAITING_OUTPUT_BYTES: number = 16 * 1024 * 1024;

/** The options that both roles have. */
export interface DtlsCommonOptions {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: readonly string[];
  readonly fingerprint?: readonly string[];
  /** Hexadecimal. */
  readonly psk?: string;
  readonly pskIdentity: string;
  /** Names with commas between them. */
  readonly alpn?: string;
  readonly keylog?: string;
}

export interface DtlsConnectOptions extends DtlsCommonOptions {
  readonly servername?: string;
  readonly insecure?: true;
  readonly family?: 4 | 6;
  readonly timeoutMs: number;
  /** Stay until the peer closes. */
  readonly ignoreEof?: true;
}

export interface DtlsListenOptions extends DtlsCommonOptions {
  readonly host: string;
  readonly port: number;
  /** End with the first peer. */
  readonly once?: true;
}

/** The person's end. */
export interface Terminal {
  /** Starts reading; returns how to stop. */
  read(onBytes: (bytes: Uint8Array) => void, onEnd: () => void): () => void;
  write(bytes: Uint8Array): void;
  /** One line that is not the peer's. */
  report(line: string): void;
}

/** A terminal of two streams. What waits for a slow reader is bounded; the first loss is reported. */
export function streamTerminal(input: Readable, output: Writable, report: (line: string) => void): Terminal {
  let lossReported = false;
  return {
    read(onBytes, onEnd) {
      input.on('data', onBytes).once('end', onEnd);
      return () => {
        input.off('data', onBytes).off('end', onEnd);
        input.destroy(); // an open pipe would keep the process alive
      };
    },
    write(bytes) {
      if (output.writableLength + bytes.length <= MAX_WAITING_OUTPUT_BYTES) output.write(bytes);
      else if (!lossReported) {
        lossReported = true;
        report(`the output is read too slowly: messages are lost`);
      }
    },
    report,
  };
}

/** `host:port`, the host in brackets when it is an IPv6 address. @throws {CliUsageError} */
export function parseDtlsTarget(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || !(port >= 1 && port <= 65_535)) throw new CliUsageError(`not HOST:PORT: ${text}`);
  return { host, port };
}

/**
 * Connects, then carries the terminal's input to the peer and the peer's messages to its output, until one of them ends.
 * @throws rejects with the reason when the connection fails.
 */
export async function connectDtls(
  target: { readonly host: string; readonly port: number },
  options: DtlsConnectOptions,
  platform: Platform,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const { env } = platform;
  const common = await readCommon(options);
  const trust = await clientTrust(target.host, options, platform);
  let ended: (error?: Error) => void = () => undefined;
  const end = new Promise<void>((resolve, reject) => {
    ended = (error) => (error === undefined ? resolve() : reject(error));
  });
  const socket = await DtlsSocket.connect({
    ...target,
    ...common,
    ...trust.options,
    ...(options.psk === undefined ? {} : { psk: { identity: options.pskIdentity, key: pskOf(options.psk) } }),
    ...(options.servername === undefined ? {} : { serverName: options.servername }),
    ...(options.family === undefined ? {} : { family: options.family }),
    timeoutMs: options.timeoutMs,
    signal,
    platform,
    onMessage: (bytes) => terminal.write(bytes),
    onClose: ended,
  });
  const abort = () => socket.close();
  signal.addEventListener('abort', abort);
  terminal.report(`connected to ${formatAddress(socket.remote)}`);
  reportNegotiated(terminal, env, socket.negotiated, socket.peerCertificates);
  if (socket.peerCertificates.length > 0) terminal.report(`verification: ${trust.result()}`);
  const stop = terminal.read(
    (bytes) => sendInRecords(bytes, socket),
    () => {
      if (options.ignoreEof !== true) socket.close();
    },
  );
  try {
    await end;
  } finally {
    stop();
    signal.removeEventListener('abort', abort);
  }
}

/**
 * Listens, carries the terminal's input to every peer, and every peer's messages to its output, until aborted.
 * @param listening - told the address.
 */
export async function listenDtls(
  options: DtlsListenOptions,
  platform: Platform,
  terminal: Terminal,
  log: Log,
  signal: AbortSignal,
  listening: (address: TransportAddress) => void = () => undefined,
): Promise<void> {
  const { env } = platform;
  const common = await readCommon(options);
  const trust = await trustOf(options);
  const key = options.psk === undefined ? undefined : pskOf(options.psk);
  const certificate = common.certificate ?? (key === undefined ? generateCertificate(env) : undefined);
  if (certificate !== undefined && 'der' in certificate) {
    terminal.report(`own certificate: sha-256 ${certificateFingerprint(env.crypto, 'sha-256', certificate.der)}`);
  }
  let ended: () => void = () => undefined;
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  let stop: (() => void) | undefined;
  const server = new DtlsServer({
    ...common,
    ...trust,
    ...(certificate === undefined ? {} : { certificate }),
    ...(key === undefined ? {} : { psk: (identity) => (sameText(identity, options.pskIdentity) ? key : undefined) }),
    platform,
    log,
    onConnection: (peer) => {
      terminal.report(`${formatAddress(peer.remote)} is connected`);
      reportNegotiated(terminal, env, peer.negotiated, peer.certificates);
      if (peer.certificates.length > 0) terminal.report(`verification: ${describeTrust(trust)}`);
      stop ??= terminal.read(
        (bytes) => {
          for (const each of server.peers) sendInRecords(bytes, each);
        },
        () => undefined, // it goes on serving
      );
    },
    onMessage: (bytes) => terminal.write(bytes),
    onMigrate: (peer, from) => terminal.report(`${formatAddress(from)} goes on as ${formatAddress(peer.remote)}`),
    onClose: (peer, error) => {
      terminal.report(`${formatAddress(peer.remote)} is gone${error === undefined ? '' : `: ${error.message}`}`);
      if (options.once === true) ended();
    },
  });
  signal.addEventListener('abort', ended);
  try {
    listening(await server.listen({ host: options.host, port: options.port }));
    if (!signal.aborted) await end;
  } finally {
    signal.removeEventListener('abort', ended);
    stop?.();
    server.close();
  }
}

/** What the peer's certificate is judged by, and what the judgement was. */
interface ClientTrust {
  readonly options: PeerTrust;
  readonly result: () => string;
}

async function clientTrust(host: string, options: DtlsConnectOptions, platform: Platform): Promise<ClientTrust> {
  const trust = await trustOf(options);
  const given = trust.ca !== undefined || trust.fingerprint !== undefined;
  if (options.insecure !== true) return { options: trust, result: () => describeTrust(trust) };
  const asked = given ? trust : { ca: systemAuthorities(platform) };
  const judge = judgeOf(platform.env, asked, 'serverAuth', options.servername ?? serverNameOf(host) ?? host);
  let refusal: string | undefined;
  const verifyPeer = (chain: readonly Uint8Array[]) => {
    refusal = judge?.(chain)?.message;
    return undefined;
  };
  // With a PSK alone, certificate suites stay off.
  if (options.psk !== undefined && !given) return { options: {}, result: () => '' };
  return {
    options: { verifyPeer },
    result: () => (refusal === undefined ? describeTrust(trust) : `FAILED, and ignored (--insecure): ${refusal}`),
  };
}

async function trustOf(options: DtlsCommonOptions): Promise<PeerTrust> {
  const { ca, fingerprint } = options;
  if (ca !== undefined && fingerprint !== undefined)
    throw new CliUsageError('--ca and --fingerprint exclude each other');
  if (fingerprint !== undefined) return { fingerprint };
  return ca === undefined ? {} : { ca: await Promise.all(ca.map(readCertificates)) };
}

function describeTrust(trust: PeerTrust): string {
  if (trust.fingerprint !== undefined) return 'ok, by its fingerprint';
  return trust.ca === undefined ? 'ok, by an authority that this runtime trusts' : 'ok, by an authority of --ca';
}

async function readCommon(options: DtlsCommonOptions): Promise<{
  readonly certificate?: OwnCertificate;
  readonly alpn?: readonly string[];
  readonly keyLog?: (line: string) => void;
}> {
  const { cert, key, alpn, keylog } = options;
  if (cert === undefined && key !== undefined) throw new CliUsageError('--key needs --cert');
  return {
    // One file may hold both.
    ...(cert === undefined ? {} : { certificate: { cert: await readText(cert), key: await readText(key ?? cert) } }),
    ...(alpn === undefined ? {} : { alpn: alpn.split(',') }),
    ...(keylog === undefined ? {} : { keyLog: (line: string) => appendFileSync(keylog, `${line}\n`, { mode: 0o600 }) }),
  };
}

async function readCertificates(file: string): Promise<string> {
  const text = await readText(file);
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new CliError(`there is no certificate, PEM, in ${file}`);
  return text;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CliError(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function pskOf(hex: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})+$/i.test(hex)) throw new CliUsageError('--psk must be hexadecimal, two digits a byte');
  return hexToBytes(hex);
}

function reportNegotiated(
  terminal: Terminal,
  env: Env,
  negotiated: Negotiated | undefined,
  [leaf]: readonly Uint8Array[],
): void {
  if (negotiated === undefined) return;
  const { cipherSuite, group, alpn, serverName, resumed } = negotiated;
  terminal.report(
    `cipher suite: ${cipherSuite}${group === undefined ? '' : `, group ${group}`}${resumed ? ', resumed' : ''}`,
  );
  if (alpn !== undefined) terminal.report(`application protocol: ${JSON.stringify(alpn)}`);
  if (serverName !== undefined) terminal.report(`server name asked for: ${JSON.stringify(serverName)}`);
  if (leaf === undefined) terminal.report('peer certificate: none');
  else terminal.report(`peer certificate: sha-256 ${certificateFingerprint(env.crypto, 'sha-256', leaf)}`);
}

/** The other end may take less in a record than we would like to send (RFC 8449 §4). */
function sendInRecords(bytes: Uint8Array, to: DtlsSocket | DtlsPeer): void {
  const size = Math.min(MAX_RECORD_BYTES, to.negotiated?.maxSendRecordBytes ?? MAX_RECORD_BYTES);
  for (let at = 0; at < bytes.length; at += size) to.send(bytes.subarray(at, at + size));
}

function sameText(bytes: Uint8Array, text: string): boolean {
  const expected = utf8(text);
  return bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]);
}
