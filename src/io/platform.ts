import { lookup, resolveSrv } from 'node:dns/promises';
import { performance } from 'node:perf_hooks';
import { rootCertificates } from 'node:tls';
import {
  canonicalIp,
  type Env,
  type Instant,
  type InterfaceAddress,
  type Platform,
  SILENT,
  type SrvRecord,
  type Trace,
  type TransportAddress,
  type UdpHandlers,
  type UdpSocket,
} from '../core/index.ts';
import { INTERFACE_POLL_MS, InterfaceMonitor } from './interface-monitor.ts';
import { interfaceMtu } from './interface-mtu.ts';
import { MulticastDns } from './mdns.ts';
import { nodeCrypto } from './node-crypto.ts';
import { systemInterfaces } from './system-interfaces.ts';
import { connectTcp, connectTls } from './tcp-connection.ts';
import { listenTcp } from './tcp-listener.ts';
import { TimerQueue } from './timer-queue.ts';
import { bindUdpSocket } from './udp-socket.ts';

/** What the cores may not obtain themselves, from this machine. */
export function nodeEnv(trace: Trace = SILENT): Env {
  return { random: (out) => nodeCrypto.random(out), wallClockMs: () => Date.now(), crypto: nodeCrypto, trace };
}

const timers = new TimerQueue({
  now: () => performance.now(),
  arm: (delayMs, fire) => {
    if (delayMs === 0) {
      // Due already: right behind the datagrams that are being read, where setTimeout would wait for another millisecond.
      // SCTP decides there about one SACK for the whole batch.
      const immediate = setImmediate(fire);
      immediate.unref();
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(fire, delayMs);
    timer.unref(); // sockets keep the process alive, timers do not
    return () => clearTimeout(timer);
  },
});

/** How the resolver says "there is no such name" and "it has no such records". */
const NO_RECORDS: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'ENODATA']);

const monitor = new InterfaceMonitor({
  interfaces: () => lookAtInterfaces(),
  repeat: (look) => {
    const timer = setInterval(look, INTERFACE_POLL_MS);
    timer.unref();
    return () => clearInterval(timer);
  },
});

/**
 * Milliseconds for which a list of interfaces is used again: asking the system takes longer than the key exchange of a
 * connection, and a server opens hundreds a second. Whoever watches the interfaces hears of a change within
 * {@link INTERFACE_POLL_MS} all the same, and what it is told to look at is fresh.
 */
const INTERFACES_KEPT_MS = 500;
let known: readonly InterfaceAddress[] = [];
let knownAt = Number.NEGATIVE_INFINITY;

function lookAtInterfaces(): readonly InterfaceAddress[] {
  const found: InterfaceAddress[] = [];
  for (const [name, addresses] of Object.entries(systemInterfaces())) {
    const mtuBytes = interfaceMtu(name);
    for (const { address, internal } of addresses ?? []) {
      const ip = canonicalIp(address);
      if (ip !== undefined) found.push({ name, ip, internal, ...(mtuBytes !== undefined && { mtuBytes }) });
    }
  }
  known = found;
  knownAt = performance.now();
  return found;
}

/** {@link Platform} on Node: `node:dgram`, `performance.now()`, one `setTimeout`, the system's resolver. */
export const platform: Platform = {
  env: nodeEnv(),

  now(): Instant {
    return performance.now();
  },

  setTimer(at: Instant, fire: () => void): () => void {
    return timers.set(at, fire);
  },

  queueTask(task: () => void): void {
    setImmediate(task); // the phase right behind the one that reads sockets
  },

  interfaces(): readonly InterfaceAddress[] {
    return performance.now() - knownAt < INTERFACES_KEPT_MS ? known : lookAtInterfaces();
  },

  watchInterfaces(onChange: () => void): () => void {
    return monitor.watch(onChange);
  },

  bindUdp(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> {
    return bindUdpSocket(local, handlers);
  },

  connectTcp,
  connectTls,
  listenTcp,

  rootCertificates(): readonly string[] {
    return rootCertificates;
  },

  mdns: new MulticastDns(),

  async resolveSrv(name: string): Promise<readonly SrvRecord[]> {
    try {
      const records = await resolveSrv(name);
      return records.map(({ priority, weight, port, name: target }) => ({ priority, weight, port, target }));
    } catch (error) {
      if (error instanceof Error && 'code' in error && NO_RECORDS.has(error.code)) return [];
      throw error;
    }
  },

  async resolve(hostname: string): Promise<readonly string[]> {
    const literal = canonicalIp(hostname);
    if (literal !== undefined) return [literal];
    const answers = await lookup(hostname, { all: true, verbatim: true });
    return answers.flatMap(({ address }) => canonicalIp(address) ?? []);
  },
};
