import { EventEmitter } from 'node:events';
import { InvalidArgumentError } from 'commander';
import { afterEach, describe, expect, it } from 'vitest';
import { formatBytes, formatRate, printable } from '../../src/cli/demo/format.ts';
import { Printer } from '../../src/cli/demo/printer.ts';
import { CliError, describeError, outliveLostOutput, untilSignal } from '../../src/cli/exit.ts';
import { collect, consoleLog, integer, ipAddress, port, roomName } from '../../src/cli/options.ts';

describe('Printer', () => {
  it('prints steps with their times, progress by tenths, and a summary', () => {
    const lines: string[] = [];
    const printer = new Printer({ isTTY: false, color: false, write: (line) => lines.push(line) }, 1000);
    printer.step('signaling', 'Ada', 'joined\u001b[2J', false, 1012.3);
    printer.step('signaling', 'Bob', 'answered', true, 1250);
    printer.step('signaling', 'Bob', 'again', true, 9999);
    for (const bytes of [0, 5, 10, 11, 19, 55, 100]) printer.progress('f', bytes, 100);
    printer.summary();
    expect(lines).toEqual([
      '  0.012 s  1 signaling      Ada   joined·[2J',
      '  0.250 s  1 signaling      Bob   answered',
      '  8.999 s  1 signaling      Bob   again',
      '           file f: 0 %, 0 B of 100 B',
      '           file f: 10 %, 10 B of 100 B',
      '           file f: 50 %, 55 B of 100 B',
      '           file f: 100 %, 100 B of 100 B',
      '',
      '  1 signaling      done after 0.250 s',
      '  2 connecting     not reached',
      '  3 securing       not reached',
      '  4 communicating  not reached',
    ]);
    expect([...printer.done]).toEqual(['signaling']);
  });

  it('an empty file is at 100 %', () => {
    const lines: string[] = [];
    const printer = new Printer({ isTTY: false, color: false, write: (line) => lines.push(line) }, 0);
    printer.progress('f', 0, 0);
    expect(lines).toEqual(['           file f: 100 %, 0 B of 0 B']);
  });
});

describe('formats', () => {
  it('bytes and rates', () => {
    expect([0, 1023, 1024, 52_428_800, 5 * 2 ** 40].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '50.0 MiB',
      '5120.0 GiB',
    ]);
    expect(formatRate(50_000_000, 2000)).toBe('25.0 MB/s');
  });

  it('text of a peer cannot move the cursor or hide', () => {
    expect(printable('a\r\n\u001b[31m\u202eb 你好')).toBe('a···[31m·b 你好');
  });

  it('log lines carry the time, as text or JSON', () => {
    const lines: string[] = [];
    const entry = { level: 'info', event: 'joined', peer: 'ab', count: 2 } as const;
    consoleLog('text', (line) => lines.push(line))(entry);
    consoleLog('json', (line) => lines.push(line))(entry);
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z joined peer=ab count=2$/);
    expect(JSON.parse(lines[1]!)).toEqual({ time: expect.stringMatching(/Z$/), ...entry });
  });
});

describe('options', () => {
  it.each([
    ['80', 80],
    ['0', 0],
    ['65535', 65_535],
  ])('port %s', (text, value) => {
    expect(port(text)).toBe(value);
  });

  it.each([
    ['port', port, ['', '-1', '65536', '1.5', '0x10', 'http', '1e3']],
    ['integer', integer(5, 10), ['4', '11', 'five']],
    ['ipAddress', ipAddress, ['localhost', '1.2.3', '127.0.0.01', '::g']],
    ['roomName', roomName, ['', 'a\nb', 'x'.repeat(65)]],
  ])('%s refuses what it is not', (_name, parse, texts) => {
    for (const text of texts) expect(() => parse(text)).toThrow(InvalidArgumentError);
  });

  it('addresses become canonical, and options that stand several times are collected', () => {
    expect(ipAddress('0:0::1')).toBe('::1');
    const hosts = collect(ipAddress);
    expect(hosts('::1', hosts('127.0.0.1', undefined))).toEqual(['127.0.0.1', '::1']);
  });
});

/** Work without an end, under {@link untilSignal}. */
function unending(isService: boolean, output = new EventEmitter()) {
  const signals = new EventEmitter();
  let closed = 0;
  const close = async () => {
    closed++;
  };
  const running = untilSignal(new Promise(() => undefined), close, () => isService, signals, output);
  return { signals, running, closed: () => closed };
}

describe('exit', () => {
  const before = process.exitCode;
  afterEach(() => {
    process.exitCode = before;
  });

  it('errors are told in words', () => {
    const failed = (syscall: string, code: string) => Object.assign(new Error(`${syscall} ${code}`), { syscall, code });
    expect(describeError(failed('listen', 'EADDRINUSE'))).toContain('another program uses that port');
    expect(describeError(failed('bind', 'EACCES'))).toContain('below 1024');
    expect(describeError(failed('open', 'EACCES'))).toBe('open EACCES'); // a file, not a port
    expect(describeError(new AggregateError([new Error('one'), new Error('two')]))).toBe('one; two');
    expect(describeError(new CliError('Ada: failed'))).toBe('Ada: failed');
    expect(describeError('text')).toBe('text');
    const unknownName = Object.assign(new Error('getaddrinfo ENOTFOUND a.invalid'), {
      code: 'ENOTFOUND',
      hostname: 'a.invalid',
    });
    expect(describeError(unknownName)).toMatch(/^a\.invalid has no address: /);
  });

  it.each([
    ['SIGINT', false, 130],
    ['SIGTERM', false, 143],
    ['SIGINT', true, 0],
  ] as const)('%s closes, and a service (%s) ends with %i', async (signal, isService, code) => {
    const { signals, running, closed } = unending(isService);
    signals.emit(signal);
    await running;
    expect([closed(), process.exitCode]).toEqual([1, code]);
  });

  it.each([
    ['EPIPE', false, 141],
    ['ENOSPC', false, 1],
    ['EPIPE', true, 0],
  ] as const)(
    'output lost to %s is told once, and ends all but a service (%s), with %i',
    async (code, isService, exit) => {
      const [output, errors] = [new EventEmitter(), new EventEmitter()];
      const told: string[] = [];
      outliveLostOutput(output, Object.assign(errors, { write: (text: string) => told.push(text) }));
      errors.emit('error', new Error('nobody reads that either'));
      const { signals, running, closed } = unending(isService, output);
      for (let i = 0; i < 2; i++) output.emit('error', Object.assign(new Error(`write ${code}`), { code }));
      if (isService) {
        expect(closed()).toBe(0);
        signals.emit('SIGINT');
      }
      await running;
      expect([closed(), process.exitCode, told]).toEqual([
        1,
        exit,
        [`purertc: nothing more is printed: write ${code}\n`],
      ]);
      expect(output.listenerCount('error')).toBe(1);
    },
  );

  it('work that ends or fails closes too, and takes its handlers back', async () => {
    const signals = new EventEmitter();
    let closed = 0;
    const close = async () => {
      closed++;
    };
    await untilSignal(Promise.resolve(), close, () => false, signals);
    await expect(untilSignal(Promise.reject(new CliError('no')), close, () => false, signals)).rejects.toThrow('no');
    expect([closed, signals.listenerCount('SIGINT'), signals.listenerCount('SIGTERM')]).toEqual([2, 0, 0]);
  });
});
