import { type Env, ipFamily, type Platform } from '../core/index.ts';
import { userHash } from '../stun/index.ts';
import type { RelayAddress, TurnServerCoreOptions } from '../turn/index.ts';
import type { Log } from './log.ts';
import type { PemCertificate } from './turn-connections.ts';

export interface TurnServerOptions
  extends Omit<TurnServerCoreOptions, 'env' | 'relayAddresses' | 'findUser' | 'findUserByHash' | 'tcpRelay'> {
  /** Long-term users: passwords by name, the same in all realms. */
  readonly users?: Readonly<Record<string, string>>;
  /** Instead of `users`; synchronous. */
  readonly findUser?: NonNullable<TurnServerCoreOptions['findUser']>;
  /** Where relayed ports are opened. Default: the first IPv4 and IPv6 address of this machine, or 127.0.0.1. */
  readonly relayAddresses?: readonly (string | RelayAddress)[];
  /** Takes TLS on the TCP ports and DTLS on the UDP ports. */
  readonly certificate?: PemCertificate;
  /** No TLS, or no DTLS, in spite of the certificate. */
  readonly noTls?: boolean;
  readonly noDtls?: boolean;
  /** No relays towards peers over TCP (RFC 6062). */
  readonly noTcpRelay?: boolean;
  /**
   * Tells clients of ICMP errors about peers with a channel (RFC 8656 §11.5), with one more socket for each. For that relayed
   * ports are shared (SO_REUSEADDR): other programs of this machine can bind them too and take what arrives, so that it is
   * for machines without other users. Linux only. Default false.
   */
  readonly icmp?: boolean;
  /** Open TCP, TLS and DTLS connections together. Default 20,000 (`DEFAULT_MAX_CONNECTIONS`). */
  readonly maxConnections?: number;
  /**
   * And of one source: an IPv4 address, or the /64 of an IPv6 address, so that nobody takes all of them. 0: no bound, for
   * a server behind a proxy, whose address all connections have. Default 1,000 (`DEFAULT_MAX_CONNECTIONS_PER_SOURCE`), and
   * none for loopback, where a proxy on the same machine is.
   */
  readonly maxConnectionsPerSource?: number;
  readonly log?: Log;
  readonly platform?: Platform;
  readonly env?: Env;
}

/** How the core finds users: by the function given, or in the table. */
export function userStore(
  env: Env,
  options: TurnServerOptions,
): Pick<TurnServerCoreOptions, 'findUser' | 'findUserByHash'> {
  if (options.findUser !== undefined) return { findUser: options.findUser };
  if (options.users === undefined) return {};
  const users = new Map(Object.entries(options.users));
  const byHash = new Map<string, string>();
  for (const realm of new Set([options.realm, ...Object.values(options.realmsByOrigin ?? {})])) {
    for (const name of users.keys()) byHash.set(userHash(env.crypto, name, realm).join(), name);
  }
  const findUser = (username: string) => {
    const password = users.get(username);
    return password === undefined ? undefined : { username, password };
  };
  return { findUser, findUserByHash: (hash) => findUser(byHash.get(hash.join()) ?? '') };
}

/** The first address of each family that the network knows this machine by. */
export function defaultRelayAddresses(platform: Platform): string[] {
  const ips = platform.interfaces().filter(({ ip, internal }) => !internal && !ip.startsWith('fe80:'));
  const found = [4, 6].flatMap((family) => ips.find(({ ip }) => ipFamily(ip) === family)?.ip ?? []);
  return found.length > 0 ? found : ['127.0.0.1'];
}
