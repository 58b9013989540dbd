import { canonicalIp, ipFamily, UsageError } from '../core/index.ts';
import type { RelayAddress } from '../turn/index.ts';
import { TURN_OPTIONS, type TurnOption } from './turn-options.ts';
import { TURN_PORT, TURNS_PORT, type TurnServerOptions } from './turn-server.ts';
import { MAX_TURN_WORKERS } from './turn-worker-messages.ts';

/** Names with their values in the order they were given. A flag that is on has one empty value. */
export type TurnSettings = ReadonlyMap<string, readonly string[]>;

const BY_NAME: ReadonlyMap<string, TurnOption> = new Map(TURN_OPTIONS.map((option) => [option.name, option]));
const FALSE: ReadonlySet<string> = new Set(['0', 'off', 'no', 'false']);
const TRUE: ReadonlySet<string> = new Set(['', '1', 'on', 'yes', 'true']);

/**
 * Reads a configuration file of coturn's form: `name` or `name=value` a line, `#` and `;` begin comments.
 * @param fileName - for messages.
 * @throws {UsageError} that names every line which it does not understand.
 */
export function parseTurnConfig(text: string, fileName: string): TurnSettings {
  const settings = new Map<string, string[]>();
  const problems: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#') || trimmed.startsWith(';')) continue;
    const equals = trimmed.indexOf('=');
    const name = (equals < 0 ? trimmed : trimmed.slice(0, equals)).trim();
    const written = equals < 0 ? '' : unquote(trimmed.slice(equals + 1).trim());
    const problem = addSetting(settings, name, written);
    if (problem !== undefined) problems.push(`${fileName}:${index + 1}: ${problem}`);
  }
  if (problems.length > 0) throw new UsageError(problems.join('\n'));
  return settings;
}

function unquote(text: string): string {
  const quote = text[0];
  return text.length >= 2 && (quote === '"' || quote === "'") && text.endsWith(quote) ? text.slice(1, -1) : text;
}

/** Adds one setting as it is written in a file. @returns what is wrong with it. */
function addSetting(settings: Map<string, string[]>, name: string, written: string): string | undefined {
  const option = BY_NAME.get(name);
  if (option === undefined) return `unknown option '${name}'`;
  if (option.kind === 'flag') {
    if (TRUE.has(written)) settings.set(name, ['']);
    else if (FALSE.has(written)) settings.delete(name);
    else return `'${name}' is a flag and takes no '${written}'`;
    return undefined;
  }
  if (written === '') return `'${name}' needs a value`;
  if (option.kind === 'list') settings.set(name, [...(settings.get(name) ?? []), written]);
  else settings.set(name, [written]);
  return undefined;
}

/** The command line over a file: single values replace, lists are added. */
export function mergeTurnSettings(file: TurnSettings, commandLine: TurnSettings): TurnSettings {
  const merged = new Map(file);
  for (const [name, values] of commandLine) {
    const isList = BY_NAME.get(name)?.kind === 'list';
    merged.set(name, isList ? [...(file.get(name) ?? []), ...values] : values);
  }
  return merged;
}

/** Where log lines go. */
export type TurnLogTarget = 'stdout' | 'syslog' | { readonly file: string };

/** What to start. */
export interface TurnPlan {
  readonly options: TurnServerOptions;
  readonly listeners: readonly { readonly host: string; readonly port: number; readonly transport: 'udp' | 'tcp' }[];
  /** Files of the certificate, read at the start and again on SIGHUP. */
  readonly certificateFiles: { readonly cert: string; readonly key: string } | undefined;
  readonly metrics: { readonly host: string; readonly port: number; readonly path: string } | undefined;
  readonly drainTimeoutS: number;
  /** Processes beside the one that listens; 0 for none. */
  readonly workers: number;
  readonly log: TurnLogTarget;
  readonly pidFile: string | undefined;
}

/** What a plan needs to know of the machine. */
export interface TurnHost {
  /** Canonical addresses that can be listened on. */
  readonly addresses: readonly string[];
  readonly hostName: string;
}

/** @throws {UsageError} for values that cannot be, naming the option. */
export function planTurnServer(settings: TurnSettings, host: TurnHost): TurnPlan {
  const has = (name: string) => settings.has(name);
  const text = (name: string) => settings.get(name)?.at(-1);
  const list = (name: string) => settings.get(name) ?? [];
  const listening = has('listening-ip')
    ? list('listening-ip').map((ip) => address('listening-ip', ip))
    : host.addresses;
  const port = number(settings, 'listening-port', 0, 65_535) ?? TURN_PORT;
  const certificateFiles = certificateOf(settings);
  const listeners = listenersOf(settings, listening, port, certificateFiles !== undefined);
  const discovery = has('no-rfc5780') ? undefined : discoveryOf(settings, listening, port);
  if (discovery !== undefined && !has('no-udp')) {
    for (const ip of listening) listeners.push({ host: ip, port: discovery.alternate.port, transport: 'udp' });
  }
  const secrets = list('static-auth-secret');
  if (has('use-auth-secret') && secrets.length === 0) throw new UsageError('use-auth-secret needs static-auth-secret');
  const oauth = has('oauth')
    ? oauthOf(list('oauth-key'), text('server-name') ?? text('realm') ?? host.hostName)
    : undefined;
  if (secrets.length === 0 && !has('user') && oauth === undefined && !has('stun-only'))
    throw new UsageError('give user, static-auth-secret or oauth: there is no open server');
  const rate = (name: string) => rateOf(number(settings, name, 0, Number.MAX_SAFE_INTEGER));
  const quota = (name: string) => number(settings, name, 0, 1_000_000) || undefined; // 0: none, as in coturn
  const options: TurnServerOptions = {
    realm: text('realm') ?? host.hostName,
    realmsByOrigin: originRealms(list('origin-realm')),
    checkOriginConsistency: has('check-origin-consistency'),
    findUser: userStore(list('user')),
    authSecrets: secrets,
    relayAddresses: relayAddresses(settings, listening),
    peers: {
      allowLoopback: has('allow-loopback-peers'),
      allowPrivate: has('allow-private-peers'),
      allowedPeers: list('allowed-peer-ip'),
      deniedPeers: list('denied-peer-ip'),
    },
    fingerprint: has('fingerprint'),
    mobility: has('mobility'),
    icmp: has('icmp'),
    noStun: has('no-stun'),
    stunOnly: has('stun-only'),
    noStunBackwardCompatibility: has('no-stun-backward-compatibility'),
    noTcpRelay: has('no-tcp-relay'),
    noTls: has('no-tls'),
    noDtls: has('no-dtls'),
    ...when(number(settings, 'min-port', 1024, 65_535), (minPort) => ({ minPort })),
    ...when(number(settings, 'max-port', 1024, 65_535), (maxPort) => ({ maxPort })),
    ...when(number(settings, 'max-allocate-lifetime', 600, 0xffff_ffff), (maxLifetimeS) => ({ maxLifetimeS })),
    ...when(number(settings, 'stale-nonce', 1, 86_400), (seconds) => ({ nonceLifetimeMs: seconds * 1000 })),
    ...when(quota('user-quota'), (userQuota) => ({ userQuota })),
    ...when(quota('total-quota'), (totalQuota) => ({ totalQuota })),
    ...when(number(settings, 'max-connections-per-source', 0, 1_000_000), (maxConnectionsPerSource) => ({
      maxConnectionsPerSource,
    })),
    ...when(rate('max-bps'), (sessionRate) => ({ sessionRate })),
    ...when(rate('bps-capacity'), (totalRate) => ({ totalRate })),
    ...when(text('alternate-server'), (written) => ({ alternateServer: addressAndPort(written) })),
    ...when(oauth, (keys) => ({ oauth: keys })),
    ...when(discovery, (behaviourDiscovery) => ({ behaviourDiscovery })),
  };
  const metrics = has('prometheus')
    ? {
        host: address('prometheus-address', text('prometheus-address') ?? '127.0.0.1'),
        port: number(settings, 'prometheus-port', 0, 65_535) ?? 9641,
        path: text('prometheus-path') ?? '/metrics',
      }
    : undefined;
  const drainTimeoutS = number(settings, 'drain-timeout', 0, 86_400) ?? 0;
  const workers = number(settings, 'workers', 0, MAX_TURN_WORKERS) ?? 0;
  const log = logTargetOf(text('log-file'), has('syslog'));
  return { options, listeners, certificateFiles, metrics, drainTimeoutS, workers, log, pidFile: text('pidfile') };
}

function certificateOf(settings: TurnSettings): TurnPlan['certificateFiles'] {
  const cert = settings.get('cert')?.at(-1);
  if (cert !== undefined) return { cert, key: settings.get('pkey')?.at(-1) ?? cert };
  if (settings.has('pkey')) throw new UsageError('pkey needs cert');
  return undefined;
}

function listenersOf(
  settings: TurnSettings,
  ips: readonly string[],
  port: number,
  secure: boolean,
): { host: string; port: number; transport: 'udp' | 'tcp' }[] {
  const tlsPort = number(settings, 'tls-listening-port', 0, 65_535) ?? TURNS_PORT;
  const transports = (['udp', 'tcp'] as const).filter((transport) => !settings.has(`no-${transport}`));
  const found: { host: string; port: number; transport: 'udp' | 'tcp' }[] = [];
  for (const host of ips) {
    for (const transport of transports) {
      found.push({ host, port, transport });
      const wanted = secure && !settings.has(transport === 'udp' ? 'no-dtls' : 'no-tls');
      if (wanted && (tlsPort !== port || port === 0)) found.push({ host, port: tlsPort, transport });
    }
  }
  if (found.length === 0) throw new UsageError('no-udp and no-tcp together leave nothing to listen on');
  return found;
}

/** RFC 5780 §6 needs two addresses of one family. */
function discoveryOf(
  settings: TurnSettings,
  ips: readonly string[],
  port: number,
): TurnServerOptions['behaviourDiscovery'] {
  const [primary, alternate, more] = ips.filter((ip) => ipFamily(ip) === 4);
  const isAsked = settings.has('listening-ip');
  if (!isAsked || port === 0 || primary === undefined || alternate === undefined || more !== undefined)
    return undefined;
  const altPort = number(settings, 'alt-listening-port', 1, 65_535) ?? port + 1;
  return { primary: { ip: primary, port }, alternate: { ip: alternate, port: altPort } };
}

/** coturn's `external-ip`: `public/private` for one relay address, `public` alone for all of its family. */
function relayAddresses(settings: TurnSettings, listening: readonly string[]): RelayAddress[] {
  const given = settings.get('relay-ip') ?? [];
  const ips = given.length > 0 ? given.map((ip) => address('relay-ip', ip)) : listening;
  const external = new Map<string, string>();
  for (const entry of settings.get('external-ip') ?? []) {
    const [publicIp, privateIp] = entry.split('/').map((ip) => address('external-ip', ip));
    if (publicIp === undefined) continue;
    if (privateIp !== undefined) external.set(privateIp, publicIp);
    else for (const ip of ips) if (ipFamily(ip) === ipFamily(publicIp)) external.set(ip, publicIp);
  }
  return [...new Set(ips)].map((ip) => {
    const externalIp = external.get(ip);
    return externalIp === undefined ? { ip } : { ip, externalIp };
  });
}

function userStore(entries: readonly string[]): NonNullable<TurnServerOptions['findUser']> {
  const users = new Map<string, string>();
  for (const entry of entries) {
    const colon = entry.indexOf(':');
    if (colon < 1) throw new UsageError(`user must be name:password, not '${entry.slice(0, Math.max(colon, 0))}…'`);
    users.set(entry.slice(0, colon), entry.slice(colon + 1));
  }
  return (username) => {
    const password = users.get(username);
    if (password === undefined) return undefined;
    const key = /^0x([0-9a-f]{32})$/i.exec(password)?.[1]; // as `turnadmin -k` prints it
    if (key === undefined) return { username, password };
    return { username, md5Key: Uint8Array.from(key.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16)) };
  };
}

function logTargetOf(file: string | undefined, syslog: boolean): TurnLogTarget {
  if (syslog || file === 'syslog') return 'syslog';
  return file === undefined || file === 'stdout' || file === '-' ? 'stdout' : { file };
}

function oauthOf(entries: readonly string[], serverName: string): NonNullable<TurnServerOptions['oauth']> {
  if (entries.length === 0) throw new UsageError('oauth needs oauth-key');
  const keys = entries.map((entry) => {
    const colon = entry.indexOf(':');
    const key = Uint8Array.from(Buffer.from(entry.slice(colon + 1), 'base64'));
    if (colon < 1 || (key.length !== 16 && key.length !== 32)) {
      throw new UsageError(
        `oauth-key must be kid:base64 of 16 or 32 bytes, not '${entry.slice(0, Math.max(colon, 0))}…'`,
      );
    }
    return { kid: entry.slice(0, colon), key };
  });
  return { serverName, keys };
}

function originRealms(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const equals = entry.lastIndexOf('=');
      if (equals < 1 || equals === entry.length - 1)
        throw new UsageError(`origin-realm must be origin=realm, not '${entry}'`);
      return [entry.slice(0, equals), entry.slice(equals + 1)];
    }),
  );
}

/** One second's worth at once. */
function rateOf(perSecond: number | undefined): { perSecond: number; burst: number } | undefined {
  return perSecond === undefined || perSecond === 0 ? undefined : { perSecond, burst: Math.max(perSecond, 65_535) };
}

function number(settings: TurnSettings, name: string, min: number, max: number): number | undefined {
  const written = settings.get(name)?.at(-1);
  if (written === undefined) return undefined;
  const parsed = Number(written);
  if (!/^\d+$/.test(written) || parsed < min || parsed > max) {
    throw new UsageError(`${name} must be a whole number from ${min} to ${max}, not '${written}'`);
  }
  return parsed;
}

function address(name: string, written: string): string {
  const ip = canonicalIp(written);
  if (ip === undefined) throw new UsageError(`${name} must be an IP address, not '${written}'`);
  return ip;
}

function addressAndPort(written: string): { readonly ip: string; readonly port: number } {
  const match = /^\[?(.*?)\]?:(\d{1,5})$/.exec(written);
  const port = match === null ? TURN_PORT : Number(match[2]);
  if (port < 1 || port > 65_535)
    throw new UsageError(`alternate-server must have a port from 1 to 65535, not '${written}'`);
  return { ip: address('alternate-server', match?.[1] ?? written), port };
}

/** Absent and undefined are different: an option that is not given is left out. */
function when<V, T extends object>(given: V | undefined, make: (given: V) => T): T | Record<never, never> {
  return given === undefined ? {} : make(given);
}
