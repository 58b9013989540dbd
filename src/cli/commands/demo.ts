import { Command } from 'commander';
import { type DemoOptions, runDemo } from '../demo/run.ts';
import { integer, ipAddress, port, roomName } from '../options.ts';

interface Options {
  readonly serve?: true;
  readonly relay?: true;
  readonly host: string;
  readonly port: number;
  readonly room: string;
  readonly fileSize: number;
  readonly saveTo?: string;
  readonly timeout: number;
}

export function demoCommand(): Command {
  return new Command('demo')
    .description('the four steps on this machine: signaling, connecting, securing, communicating')
    .option('--serve', 'stay up, and let browsers in')
    .option('--relay', 'let everything between the two peers go through the TURN server')
    .option('--host <ip>', 'address of the page, signaling, STUN and TURN', ipAddress, '127.0.0.1')
    .option('--port <number>', 'port of the page; 0 for any free one', port, 0)
    .option('--room <name>', 'room to meet in', roomName, 'demo')
    .option('--file-size <MiB>', 'size of the file that is sent', integer(1, 1024), 50)
    .option('--save-to <folder>', 'keep the files that browsers send')
    .option('--timeout <seconds>', 'fail when the run is not over by then', integer(1, 3600), 120)
    .action(async (options: Options) => {
      const demo: DemoOptions = {
        serve: options.serve === true,
        relay: options.relay === true,
        host: options.host,
        port: options.port,
        room: options.room,
        fileMiB: options.fileSize,
        saveTo: options.saveTo,
        timeoutS: options.timeout,
      };
      await runDemo(demo);
    });
}
