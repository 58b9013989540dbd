import { canonicalIp, type Platform, type SrvRecord } from '../core/index.ts';
import { orderSrvRecords } from '../stun/index.ts';
import type { IceServerUrl } from './ice-server-url.ts';

/**
 * How long the answer about SRV records may take once the host's own addresses are known. Few services have such records,
 * and some resolvers in the way of browsers never answer for types that they do not know.
 */
export const SRV_PATIENCE_MS = 1000;

/** Where a server is. */
export interface ServerAddresses {
  readonly ips: readonly string[];
  readonly port: number;
}

/**
 * Finds the addresses of an ICE server (RFC 8489 §8, RFC 5928 §3): SRV records decide where the URL has a name and no
 * port, and otherwise the host itself and the URL's port.
 * @throws (rejects) with the resolver's reason.
 */
export async function locateServer(platform: Platform, url: IceServerUrl): Promise<ServerAddresses> {
  const name = url.portIsDefault && canonicalIp(url.host) === undefined ? srvName(url) : undefined;
  if (name === undefined || platform.resolveSrv === undefined) return atHost(platform, url);
  const records = platform.resolveSrv(name).catch((error: unknown) => {
    platform.env.trace.note('gatherer', `no SRV records of ${name}: ${String(error)}`);
    return [];
  });
  const host = atHost(platform, url);
  let settled = false;
  let cancel = (): void => undefined;
  const impatience = new Promise<readonly SrvRecord[]>((resolve) => {
    const wait = (): void => {
      if (!settled) cancel = platform.setTimer(platform.now() + SRV_PATIENCE_MS, () => resolve([]));
    };
    host.then(wait, () => undefined); // without addresses of its own everything hangs on the records
  });
  const found = await Promise.race([records, impatience]);
  settled = true;
  cancel();
  if (found.length === 0) return host;
  let failure: unknown = new Error(`${url.host} says that it has no such service`);
  for (const { target, port } of orderSrvRecords(found, platform.env)) {
    try {
      return { ips: await platform.resolve(target), port };
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function atHost(platform: Platform, { host, port }: IceServerUrl): Promise<ServerAddresses> {
  if (port === 0) throw new Error('nobody listens on port 0'); // W3C lets the URL through
  return { ips: await platform.resolve(host), port };
}

function srvName({ scheme, transport, host }: IceServerUrl): string {
  return `_${scheme}._${transport === 'udp' || transport === 'dtls' ? 'udp' : 'tcp'}.${host}`;
}
