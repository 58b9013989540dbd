import { Command, Option } from 'commander';
import { STUN_PORT, StunServer } from '../../server/index.ts';
import { runUntilStopped } from '../exit.ts';
import { collect, consoleLog, ipAddress, LOG_FORMATS, type LogFormat, port } from '../options.ts';

interface Options {
  readonly host?: readonly string[];
  readonly port: number;
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
    .option('--software <text>', 'name this server in its responses')
    .addOption(new Option('--log <format>', 'log lines on standard output').choices(LOG_FORMATS).default('text'))
    .action(async (options: Options) => {
      const log = consoleLog(options.log);
      const server = new StunServer({
        log,
        ...(options.software === undefined ? {} : { software: options.software }),
      });
      const close = async () => {
        server.close();
        const { requests, successes, errors } = server.counters;
        log({ level: 'info', event: 'closed', requests, successes, errors, dropped: server.drops.total });
      };
      try {
        for (const host of options.host ?? ['127.0.0.1']) await server.listen({ host, port: options.port });
      } catch (error) {
        server.close();
        throw error;
      }
      await runUntilStopped(close);
    });
}
