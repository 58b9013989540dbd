import { resolveSrv } from 'node:dns/promises';
import { canonicalIp, formatAddress, ipFamily, type Platform, type TransportAddress } from '../core/index.ts';
import { localAddressTowards, UdpShell } from '../io/index.ts';
import {
  BEHAVIOUR_SCHEDULE,
  BehaviourDiscovery,
  type BehaviourEvent,
  BindingLifetime,
  type BindingLifetimeEvent,
  defaultPort,
  describeBehaviour,
  describeBindingLifetime,
  parseStunUri,
  type ScheduleOptions,
  StunClient,
  type StunClientEvent,
  type StunUri,
  StunUriError,
  srvName,
  transportOf,
} from '../stun/index.ts';
import { CliError, CliUsageError } from './exit.ts';

export interface StunQueryOptions {
  readonly platform: Platform;
  /** Only addresses of this family. */
  readonly family: 4 | 6 | undefined;
  /** Asks the server about NAT behaviour too, where it can (RFC 5780). */
  readonly behaviour: boolean;
  /**
   * Asks how long the NAT keeps an address that is not used (RFC 5780 §4.6), which takes minutes; told of each step in words.
   * Default: not asked.
   */
  readonly onLifetimeStep?: ((words: string) => void) | undefined;
  readonly schedule?: ScheduleOptions;
}

/** What one server address said. */
export interface StunAnswer {
  readonly server: TransportAddress;
  /** The address that this machine sends from. */
  readonly local: TransportAddress;
  /** The same as the server sees it. */
  readonly mapped: TransportAddress;
  readonly rttMs: number | undefined;
  readonly behaviour: Extract<BehaviourEvent, { readonly type: 'result' }> | undefined;
  /** Of the NAT's binding, where it was asked for. */
  readonly lifetime?: LifetimeAnswer;
}

type LifetimeAnswer = Exclude<BindingLifetimeEvent, { readonly type: 'probe' }>;

/** The server as a person writes it: a `stun:` URI, or a host with or without a port. @throws {CliUsageError} */
export function parseStunTarget(text: string): StunUri {
  const bareIp = canonicalIp(text);
  // `stun:3479` is a host of that name: as a URI it would have a port and no host.
  const isUri = /^(stuns?|turns?):(?!\d+$)/i.test(text);
  const written = bareIp?.includes(':') ? `stun:[${bareIp}]` : isUri ? text : `stun:${text}`;
  try {
    const uri = parseStunUri(written);
    if (uri.scheme !== 'stun' || transportOf(uri) !== 'udp')
      throw new CliUsageError(`only stun: over UDP is asked, not ${text}`);
    return uri;
  } catch (error) {
    if (error instanceof StunUriError)
      throw new CliUsageError(`${text} is no host, host:port or stun: URI: ${error.message}`);
    throw error;
  }
}

/**
 * The server's addresses in the order to ask them, one of each family: an SRV record decides about host and port where the URI
 * gives no port (RFC 8489 §8).
 * @throws {CliError} when there is none.
 */
export async function resolveStunServers(uri: StunUri, options: StunQueryOptions): Promise<TransportAddress[]> {
  const name = srvName(uri);
  // Most servers have no such record, and a resolver that fails is no reason either: the host itself decides then.
  const [record] = name === undefined ? [] : await resolveSrv(name).catch(() => []);
  const host = record?.name ?? uri.host;
  const port = record?.port ?? defaultPort(uri);
  let ips: readonly string[];
  try {
    ips = await options.platform.resolve(host);
  } catch {
    throw new CliError(`${host} has no address: is the name right, and is there a network?`);
  }
  const servers: TransportAddress[] = [];
  for (const family of [4, 6] as const) {
    const ip = ips.find((candidate) => ipFamily(candidate) === family);
    if (ip !== undefined && (options.family ?? family) === family) servers.push({ ip, port });
  }
  if (servers.length === 0) throw new CliError(`${host} has no IPv${options.family} address`);
  return servers;
}

/** Asks one server address. @throws {CliError} when it does not answer, or this machine has no route to it. */
export async function queryStunServer(server: TransportAddress, options: StunQueryOptions): Promise<StunAnswer> {
  const schedule = options.schedule ?? BEHAVIOUR_SCHEDULE;
  const ip = await localAddressTowards(server.ip).catch(() => {
    throw new CliError(`no route to ${formatAddress(server)}`);
  });
  const { env } = options.platform;
  let local: TransportAddress = { ip, port: 0 };
  const binding = await run<StunClientEvent>(local, options.platform, (bound, now) => {
    local = bound;
    return new StunClient({ env, path: { protocol: 'udp', local: bound, remote: server }, schedule }, now);
  });
  if (binding.type === 'failed') throw new CliError(describeFailure(server, binding));
  const { onLifetimeStep } = options;
  const lifetime = onLifetimeStep && (await queryLifetime(server, ip, { ...options, schedule }, onLifetimeStep));
  const answer = { server, local, mapped: binding.address, rttMs: binding.rttMs, ...(lifetime && { lifetime }) };
  if (!options.behaviour) return { ...answer, behaviour: undefined };
  // A fresh socket: what the first one has sent would already have opened filters.
  const event = await run<BehaviourEvent>({ ip, port: 0 }, options.platform, (bound, now) => {
    const path = { protocol: 'udp', local: bound, remote: server } as const;
    return new BehaviourDiscovery({ env, path, schedule }, now);
  });
  return { ...answer, behaviour: event.type === 'result' ? event : undefined };
}

/** Two sockets, of which the second asks what has become of the first one's binding. */
async function queryLifetime(
  server: TransportAddress,
  ip: string,
  { platform, schedule }: StunQueryOptions & { readonly schedule: ScheduleOptions },
  onStep: (words: string) => void,
): Promise<LifetimeAnswer> {
  const { env } = platform;
  let core: BindingLifetime | undefined;
  let done: (event: LifetimeAnswer) => void = () => undefined;
  const ended = new Promise<LifetimeAnswer>((resolve) => {
    done = resolve;
  });
  const onEvent = (event: BindingLifetimeEvent): void => {
    if (event.type !== 'probe') done(event);
    else
      onStep(
        `after ${Math.round(event.silenceMs / 1000)} s the public address is ${event.alive ? 'still there' : 'gone'}`,
      );
  };
  const makeCore = (local: TransportAddress): BindingLifetime => {
    core = new BindingLifetime({ env, path: { protocol: 'udp', local, remote: server }, schedule });
    return core;
  };
  const shell = await UdpShell.open<BindingLifetimeEvent>({ ip, port: 0 }, makeCore, { onEvent, platform });
  try {
    const other = await shell.bind({ ip, port: 0 });
    shell.driver.mutate((now) => core?.start(other, now));
    return await ended;
  } finally {
    shell.close();
  }
}

/** The answer in words. */
export function describeStunAnswer(answer: StunAnswer): string[] {
  const lines = [
    `${formatAddress(answer.server)} sees this machine at ${formatAddress(answer.mapped)}`,
    `  It sent from ${formatAddress(answer.local)}${answer.rttMs === undefined ? '' : `; the answer took ${answer.rttMs.toFixed(1)} ms`}.`,
  ];
  if (answer.behaviour !== undefined) lines.push(...describeBehaviour(answer.behaviour).map((line) => `  ${line}`));
  if (answer.lifetime !== undefined) lines.push(`  ${describeBindingLifetime(answer.lifetime)}`);
  return lines;
}

function describeFailure(server: TransportAddress, failure: Extract<StunClientEvent, { type: 'failed' }>): string {
  const name = formatAddress(server);
  switch (failure.reason) {
    case 'timeout':
      return `${name} does not answer over UDP: no STUN server there, or a firewall in between`;
    case 'error-response':
    case 'redirected':
      return `${name} refused: ${failure.error?.code ?? ''} ${failure.error?.reason ?? ''}`;
    case 'bad-response':
      return `${name} answered something that is no valid response`;
  }
}

/** Runs a core that ends in one event on a socket of its own. */
async function run<E>(
  local: TransportAddress,
  platform: Platform,
  makeCore: Parameters<typeof UdpShell.open<E>>[1],
): Promise<E> {
  let done: (event: E) => void = () => undefined;
  const ended = new Promise<E>((resolve) => {
    done = resolve;
  });
  const shell = await UdpShell.open<E>(local, makeCore, { onEvent: (event) => done(event), platform });
  try {
    return await ended;
  } finally {
    shell.close();
  }
}
