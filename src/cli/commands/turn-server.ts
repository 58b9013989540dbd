import { createWriteStream, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { hostname } from 'node:os';
import { Command, Option } from 'commander';
import { outliveAcceptErrors, platform } from '../../io/index.ts';
import {
  formatLogLine,
  type Log,
  mergeTurnSettings,
  type PemCertificate,
  parseTurnConfig,
  planTurnServer,
  TURN_OPTIONS,
  type TurnMemberStats,
  type TurnPlan,
  TurnServer,
  type TurnSettings,
  type TurnWorkerSource,
  TurnWorkers,
} from '../../server/index.ts';
import { CliError, describeError } from '../exit.ts';
import { consoleLog, LOG_FORMATS, type LogFormat, writeLine } from '../options.ts';

export function turnServerCommand(): Command {
  const command = new Command('turn-server')
    .description("relay for WebRTC peers (RFC 8656), with coturn's option names; over UDP, TCP, TLS and DTLS")
    .option('-c, --config <file>', 'configuration file, as turnserver.conf of coturn')
    .addOption(new Option('--log <format>', 'log lines on standard output').choices(LOG_FORMATS).default('text'));
  const settings = new Map<string, string[]>();
  for (const { name, short, kind, argument, description } of TURN_OPTIONS) {
    const letter = short === undefined ? '' : `-${short}, `;
    const written = kind === 'flag' ? `${letter}--${name}` : `${letter}--${name} <${argument}>`;
    command.option(written, description);
    command.on(`option:${name}`, (given?: string) => {
      settings.set(name, kind === 'list' ? [...(settings.get(name) ?? []), given ?? ''] : [given ?? '']);
    });
  }
  return command.action(async (options: { readonly config?: string; readonly log: LogFormat }) => {
    const file: TurnSettings =
      options.config === undefined ? new Map() : parseTurnConfig(readFileSync(options.config, 'utf8'), options.config);
    const addresses = platform.interfaces().flatMap(({ ip }) => (ip.startsWith('fe80:') ? [] : ip));
    const merged = mergeTurnSettings(file, settings);
    const host = { addresses, hostName: hostname() };
    const plan = planTurnServer(merged, host);
    const source: TurnWorkerSource = { type: 'settings', settings: [...merged], ...host };
    await runTurnServer(plan, source, logTo(plan.log, options.log));
  });
}

function logTo(target: TurnPlan['log'], format: LogFormat): Log {
  if (target === 'stdout') return consoleLog(format);
  if (target === 'syslog') {
    // sd-daemon(3): the priorities of syslog, 6 for information and 4 for warnings. The journal knows the time.
    return (entry) => {
      const line = format === 'json' ? JSON.stringify(entry) : formatLogLine(entry);
      writeLine(`<${entry.level === 'warn' ? 4 : 6}>${line}`);
    };
  }
  const stream = createWriteStream(target.file, { fd: openSync(target.file, 'a') }); // throws for one that cannot be had
  // Clients are served without a log too, such as when the disk is full.
  stream.on('error', (error) => console.error(`purertc: nothing more is logged: ${describeError(error)}`));
  return consoleLog(format, (line) => stream.write(`${line}\n`));
}

function readCertificate({ cert, key }: { readonly cert: string; readonly key: string }): PemCertificate {
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

/** One process, or several: the same from here. */
interface Service extends Pick<TurnServer, 'listen' | 'setCertificate' | 'drain'> {
  metrics(): Promise<string>;
  /** Ends it. @returns what it has done. */
  close(): Promise<Pick<TurnMemberStats, 'core' | 'drops'>>;
}

async function start(plan: TurnPlan, source: TurnWorkerSource, log: Log): Promise<Service> {
  const files = plan.certificateFiles;
  const more = { log, ...(files === undefined ? {} : { certificate: readCertificate(files) }) };
  const { findUser, ...options } = plan.options;
  if (plan.workers > 0) {
    return TurnWorkers.start({ ...options, ...more, workers: plan.workers }, { source, findUser });
  }
  const server = new TurnServer({ ...plan.options, ...more });
  return {
    listen: (address) => server.listen(address),
    setCertificate: (certificate) => server.setCertificate(certificate),
    drain: () => server.drain(),
    metrics: () => server.metrics(),
    close: async () => {
      const { stats, drops } = server;
      server.close();
      return { core: stats, drops: drops.toJSON() };
    },
  };
}

/** Serves until SIGTERM and the end of the last allocation, or until SIGINT, or a second SIGTERM. */
async function runTurnServer(plan: TurnPlan, source: TurnWorkerSource, log: Log): Promise<void> {
  const files = plan.certificateFiles;
  const server = await start(plan, source, log);
  let metrics: Server | undefined;
  const reload = () => {
    if (files === undefined) return;
    try {
      server.setCertificate(readCertificate(files));
      log({ level: 'info', event: 'certificate-reloaded', file: files.cert });
    } catch (error) {
      // The old one stays: a typing error in a file must not end what is running.
      log({ level: 'warn', event: 'certificate-not-reloaded', file: files.cert, reason: describeError(error) });
    }
  };
  process.on('SIGHUP', reload);
  try {
    if (plan.pidFile !== undefined) writeFileSync(plan.pidFile, `${process.pid}\n`);
    const ended = untilEnded(server, plan.drainTimeoutS);
    for (const listener of plan.listeners) await server.listen(listener);
    metrics = plan.metrics === undefined ? undefined : await serveMetrics(server, plan.metrics, log);
    await ended;
  } finally {
    if (plan.pidFile !== undefined) rmSync(plan.pidFile, { force: true });
    process.off('SIGHUP', reload);
    metrics?.close();
    const { core, drops } = await server.close();
    const dropped = Object.values(drops).reduce<number>((sum, count = 0) => sum + count, 0);
    log({ level: 'info', event: 'closed', allocations: core.allocationsTotal, ...core.traffic, dropped });
  }
}

function untilEnded(server: Service, drainTimeoutS: number): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => {
      process.once('SIGTERM', () => resolve());
      if (drainTimeoutS > 0) setTimeout(resolve, drainTimeoutS * 1000).unref();
      void server.drain().then(resolve);
    });
  });
}

async function serveMetrics(
  server: Service,
  { host, port, path }: NonNullable<TurnPlan['metrics']>,
  log: Log,
): Promise<Server> {
  await server.metrics().catch((error: unknown) => {
    throw new CliError(`prometheus needs the package prom-client: ${describeError(error)}`);
  });
  const http = createServer((request, response) => {
    const answer = (status: number, text: string): void => {
      response.writeHead(status, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
      response.end(text);
    };
    if (request.method !== 'GET' || request.url?.split('?')[0] !== path) answer(404, '');
    else
      server.metrics().then(
        (text) => answer(200, text),
        (error: unknown) => answer(500, describeError(error)),
      );
  });
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, host, resolve);
  });
  outliveAcceptErrors(http, 'the metrics server');
  const bound = http.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  log({ level: 'info', event: 'listening', service: 'metrics', ip: host, port: boundPort, path });
  return http;
}
