import { readFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { SignalingServer } from '../../server/index.ts';
import { DEFAULT_LIMITS } from '../../signaling/index.ts';
import { CliUsageError, runUntilStopped } from '../exit.ts';
import { collect, consoleLog, integer, ipAddress, LOG_FORMATS, type LogFormat, port } from '../options.ts';

interface Options {
  readonly host: string;
  readonly port: number;
  readonly allowOrigin?: readonly string[];
  readonly maxConnections: number;
  readonly maxConnectionsPerSource?: number;
  readonly maxRooms: number;
  readonly maxPeersPerRoom: number;
  readonly cert?: string;
  readonly key?: string;
  readonly log: LogFormat;
}

export function signalingServerCommand(): Command {
  return new Command('signaling-server')
    .description('introduce peers to each other over WebSocket (docs/signaling.md)')
    .option('--host <ip>', 'address to listen on; :: for all, which opens it to the network', ipAddress, '127.0.0.1')
    .option('--port <number>', 'port; 0 for any free one', port, 8080)
    .option('--allow-origin <origin>', 'let only web pages of this origin in; may stand several times', collect(String))
    .option('--max-connections <number>', 'connections', integer(1, 100_000), DEFAULT_LIMITS.maxConnections)
    .option(
      '--max-connections-per-source <number>',
      'connections of one IPv4 address or IPv6 /64; 0 for no bound (default: 100, none for loopback)',
      integer(0, 100_000),
    )
    .option('--max-rooms <number>', 'rooms', integer(1, 100_000), DEFAULT_LIMITS.maxRooms)
    .option('--max-peers-per-room <number>', 'peers in one room', integer(1, 100), DEFAULT_LIMITS.maxPeersPerRoom)
    .option('--cert <file>', 'certificate chain, PEM: clients connect with wss:')
    .option('--key <file>', 'its private key, PEM')
    .addOption(new Option('--log <format>', 'log lines on standard output').choices(LOG_FORMATS).default('text'))
    .action(async (options: Options) => {
      const { host, allowOrigin, maxConnections, maxConnectionsPerSource, maxRooms, maxPeersPerRoom } = options;
      const server = new SignalingServer({
        log: consoleLog(options.log),
        limits: { maxConnections, maxRooms, maxPeersPerRoom },
        ...(maxConnectionsPerSource === undefined ? {} : { maxConnectionsPerSource }),
        ...(allowOrigin === undefined ? {} : { allowedOrigins: allowOrigin }),
      });
      const tls = await readTls(options);
      await server.listen({ host, port: options.port, ...(tls === undefined ? {} : { tls }) });
      await runUntilStopped(() => server.close());
    });
}

async function readTls({ cert, key }: Options): Promise<{ readonly cert: string; readonly key: string } | undefined> {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw new CliUsageError('--cert and --key go together');
  return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') };
}
