#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { UsageError } from '../core/index.ts';
import { demoCommand } from './commands/demo.ts';
import { dtlsCommand } from './commands/dtls.ts';
import { signalingServerCommand } from './commands/signaling-server.ts';
import { stunCommand } from './commands/stun.ts';
import { stunServerCommand } from './commands/stun-server.ts';
import { turnServerCommand } from './commands/turn-server.ts';
import { CliUsageError, describeError, EXIT_FAILURE, EXIT_USAGE, outliveLostOutput } from './exit.ts';

const packageJson: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const version =
  typeof packageJson === 'object' && packageJson !== null && 'version' in packageJson ? packageJson.version : '';

const program = new Command('purertc')
  .description('WebRTC from the bytes up in TypeScript: a demo and servers')
  .version(String(version), '-v, --version')
  .showHelpAfterError('(purertc --help lists the commands)')
  .exitOverride();
for (const command of [
  demoCommand(),
  signalingServerCommand(),
  stunServerCommand(),
  stunCommand(),
  turnServerCommand(),
  dtlsCommand(),
]) {
  program.addCommand(command.copyInheritedSettings(program));
  for (const part of command.commands) part.copyInheritedSettings(program);
}

outliveLostOutput();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed the reason; help and version are no failure.
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    console.error(`purertc: ${describeError(error)}`);
    // The library's word for options that cannot be, such as those of a configuration file.
    const isUsage = error instanceof CliUsageError || error instanceof UsageError;
    process.exitCode = isUsage ? EXIT_USAGE : EXIT_FAILURE;
  }
}
