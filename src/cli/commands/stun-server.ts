import { Command, Option } from 'commander';
import type { TransportAddress } from '../../core/index.ts';
import { STUN_PORT, StunServer } from '../../server/index.ts';
import { CliUsageError, runUntilStopped } from '../exit.ts';
import { collect, consoleLog, integer, ipAddress, LOG_FORMATS, type LogFormat, port } from '../options.ts';

interface Options {
  readonly host?: readonly string[];
  readonly port: number;
  readonly alternateHost?: string;
  readonly alternatePort?: number;
  readonly software?: string;
  readonly log: LogFormat;
}

export function stunServerCommand(): Command {
  return new Command('stun-server')
    .description('tell clients the address they are seen from (RFC 8489), over UDP')
    .option(
      '--host <ip>',
      'address to listen on (default: 127.0.0.1); 0.0.0.0 and :: for all; may stand several times',
      collect(ipAddress),
    )
    .option('--port <number>', 'port; 0 for any free one', port, STUN_PORT)
    .option(
      '--alternate-host <ip>',
      'second address of this machine: answers NAT behaviour discovery (RFC 5780)',
      ipAddress,
    )
    .option('--alternate-port <number>', 'second port of it (default: the first plus one)', integer(1, 65_535))
    .option('--software <text>', 'name this server in its responses')
    .addOption(new Option('--log <format>', 'log lines on standard output').choices(LOG_FORMATS).default('text'))
    .action(async (options: Options) => {
      const log = consoleLog(options.log);
      const hosts = options.host ?? ['127.0.0.1'];
      const behaviourDiscovery = discoveryAddresses(options, hosts);
      const server = new StunServer({
        log,
        ...(behaviourDiscovery === undefined ? {} : { behaviourDiscovery }),
        ...(options.software === undefined ? {} : { software: options.software }),
      });
      const close = async () => {
        server.close();
        const { requests, successes, errors } = server.counters;
        log({ level: 'info', event: 'closed', requests, successes, errors, dropped: server.drops.total });
      };
      try {
        if (behaviourDiscovery !== undefined) await server.listenForDiscovery();
        else for (const host of hosts) await server.listen({ host, port: options.port });
      } catch (error) {
        server.close();
        throw error;
      }
      await runUntilStopped(close);
    });
}

/** RFC 5780 §6: two addresses and two ports, named one by one, because answers say which of them they come from. */
function discoveryAddresses(
  options: Options,
  hosts: readonly string[],
): { readonly primary: TransportAddress; readonly alternate: TransportAddress } | undefined {
  const { alternateHost, alternatePort, port: primaryPort } = options;
  if (alternateHost === undefined) {
    if (alternatePort !== undefined) throw new CliUsageError('--alternate-port needs --alternate-host');
    return undefined;
  }
  const [host] = hosts;
  if (host === undefined || hosts.length > 1) throw new CliUsageError('--alternate-host goes with exactly one --host');
  if (primaryPort === 0) throw new CliUsageError('--alternate-host needs a --port other than 0');
  const wildcard = [host, alternateHost].find((ip) => ip === '0.0.0.0' || ip === '::');
  if (wildcard !== undefined)
    throw new CliUsageError(`${wildcard} is no address that an answer can name: give the real ones`);
  return {
    primary: { ip: host, port: primaryPort },
    alternate: { ip: alternateHost, port: alternatePort ?? (primaryPort < 65_535 ? primaryPort + 1 : primaryPort - 1) },
  };
}
