import { Command, Option } from 'commander';
import { platform } from '../../io/index.ts';
import {
  connectDtls,
  type DtlsCommonOptions,
  type DtlsConnectOptions,
  type DtlsListenOptions,
  listenDtls,
  parseDtlsTarget,
  streamTerminal,
} from '../dtls-terminal.ts';
import { untilSignal } from '../exit.ts';
import { collect, consoleLog, integer, ipAddress, port } from '../options.ts';

export function dtlsCommand(): Command {
  return new Command('dtls')
    .description('DTLS 1.2 over UDP in a terminal, like openssl s_client and s_server')
    .addCommand(connectCommand())
    .addCommand(listenCommand());
}

/** The options of both roles. */
function withCommonOptions(command: Command): Command {
  return command
    .option('--cert <file>', 'own certificate chain, PEM')
    .option('--key <file>', 'its private key, PEM (default: in the file of --cert)')
    .option('--ca <file>', "authorities for the peer's certificate, PEM; may stand several times", collect(String))
    .option(
      '--fingerprint <text>',
      'the peer\'s certificate is this one: AB:CD:… (SHA-256) or "sha-384 AB:CD:…"; may stand several times',
      collect(String),
    )
    .option('--psk <hex>', 'pre-shared key')
    .option('--psk-identity <text>', 'the name of the pre-shared key', 'Client_identity')
    .option('--alpn <names>', 'application protocols in order of preference, with commas between them')
    .option(
      '--keylog <file>',
      'append the secrets of each connection in NSS format, for Wireshark (default: $SSLKEYLOGFILE)',
      process.env['SSLKEYLOGFILE'],
    );
}

interface ConnectFlags extends DtlsCommonOptions {
  readonly servername?: string;
  readonly insecure?: true;
  readonly ipv4?: true;
  readonly ipv6?: true;
  readonly timeout: number;
  readonly ignoreEof?: true;
}

function connectCommand(): Command {
  return withCommonOptions(new Command('connect'))
    .description('standard input to the peer, the peer to standard output; what was agreed on standard error')
    .argument('<host:port>', 'an IPv6 address in brackets')
    .option('--servername <name>', 'host name to ask for, and to find in the certificate (default: the host)')
    .option('--insecure', 'go on with a certificate that does not verify, and say so')
    .addOption(new Option('-4, --ipv4', 'over IPv4 only').conflicts('ipv6'))
    .addOption(new Option('-6, --ipv6', 'over IPv6 only').conflicts('ipv4'))
    .option('--timeout <seconds>', 'for the handshake', integer(1, 3600), 30)
    .option('--ignore-eof', 'stay when standard input ends, until the peer closes')
    .action(async (target: string, { ipv4, ipv6, timeout, ...flags }: ConnectFlags) => {
      const options: DtlsConnectOptions = {
        ...flags,
        timeoutMs: timeout * 1000,
        ...(ipv4 === undefined && ipv6 === undefined ? {} : { family: ipv4 === true ? 4 : 6 }),
      };
      const abort = new AbortController();
      const work = connectDtls(
        parseDtlsTarget(target),
        options,
        platform,
        streamTerminal(process.stdin, process.stdout, (line) => console.error(line)),
        abort.signal,
      );
      await untilSignal(
        work,
        async () => abort.abort(),
        () => false,
      );
    });
}

function listenCommand(): Command {
  return withCommonOptions(new Command('listen'))
    .description('serve any number of peers: standard input to all of them, theirs to standard output')
    .argument('<port>', '0 for any free one', port)
    .option('--host <ip>', 'address to listen on; 0.0.0.0 or :: for all', ipAddress, '127.0.0.1')
    .option('--once', 'end with the first peer')
    .addHelpText(
      'after',
      '\nWithout --cert and --psk a certificate is made; with --ca or --fingerprint peers must show one.',
    )
    .action(async (listenPort: number, flags: Omit<DtlsListenOptions, 'port'>) => {
      const abort = new AbortController();
      const log = consoleLog('text', (line) => console.error(line));
      const work = listenDtls(
        { ...flags, port: listenPort },
        platform,
        streamTerminal(process.stdin, process.stdout, (line) => console.error(line)),
        log,
        abort.signal,
      );
      await untilSignal(
        work,
        async () => {
          abort.abort();
          await work.catch(() => undefined); // close_notify leaves before the process; a failure is reported by the caller
        },
        () => true,
      );
    });
}
