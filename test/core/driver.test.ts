import { describe, expect, it } from 'vitest';
import {
  Driver,
  type Host,
  type Instant,
  NEVER,
  type SansIo,
  SLOT_HEADROOM,
  type TransmitSlot,
} from '../../src/core/index.ts';

/** A core that echoes each input byte by byte, and reports it. */
class ByteEcho implements SansIo<string> {
  readonly out: number[] = [];
  readonly events: string[] = [];
  at: Instant = NEVER;

  handleInput(bytes: Uint8Array): void {
    this.out.push(...bytes);
    this.events.push(`in ${bytes.length}`);
  }

  handleTimeout(now: Instant): void {
    if (now < this.at) return;
    this.at = NEVER;
    this.events.push('timeout');
  }

  pollTransmit(slot: TransmitSlot): boolean {
    const byte = this.out.shift();
    if (byte === undefined) return false;
    slot.buffer[slot.offset] = byte;
    slot.length = 1;
    return true;
  }

  pollEvent(): string | undefined {
    return this.events.shift();
  }

  nextTimeout(): Instant {
    return this.at;
  }
}

function setUp(onEvent: (event: string, driver: () => Driver<string>, core: ByteEcho) => void) {
  const core = new ByteEcho();
  const log: string[] = [];
  const host: Host<void> = {
    now: () => 100,
    send: (slot) => log.push(`send ${slot.buffer[slot.offset]} at ${slot.offset}`),
    wakeAt: (at) => log.push(`wake ${at}`),
  };
  const driver: Driver<string> = new Driver(core, host, (event) => {
    log.push(event);
    onEvent(event, () => driver, core);
  });
  return { core, driver, log };
}

describe('Driver', () => {
  it('drains transmits, then events, then arms the timer; each slot has its headroom back', () => {
    const { core, driver, log } = setUp(() => undefined);
    core.at = 500;
    driver.input(Uint8Array.of(1, 2), undefined);
    expect(log).toEqual([`send 1 at ${SLOT_HEADROOM}`, `send 2 at ${SLOT_HEADROOM}`, 'in 2', 'wake 500']);
  });

  it('a handler that calls back in is served by the loop that runs already', () => {
    const { driver, log } = setUp((event, self) => {
      if (event === 'in 1') self().input(Uint8Array.of(8, 9), undefined);
    });
    driver.input(Uint8Array.of(7), undefined);
    const at = SLOT_HEADROOM;
    expect(log).toEqual([`send 7 at ${at}`, 'in 1', `send 8 at ${at}`, `send 9 at ${at}`, 'in 2', 'wake Infinity']);
  });

  it('asks for datagrams between two events only where a handler has called back in', () => {
    const { core, driver, log } = setUp((event, self) => {
      if (event === 'b') self().mutate(() => core.out.push(5));
    });
    const asked: string[] = [];
    const poll = core.pollTransmit.bind(core);
    core.pollTransmit = (slot) => {
      asked.push(log.at(-1) ?? 'start');
      return poll(slot);
    };
    core.events.push('a', 'b', 'c', 'd');
    driver.drain();
    const sent = `send 5 at ${SLOT_HEADROOM}`;
    expect(log).toEqual(['a', 'b', sent, 'c', 'd', 'wake Infinity']);
    expect(asked).toEqual(['start', 'b', sent, 'd']);
  });

  it('tells a host that keeps datagrams back when none follows, before the events', () => {
    const log: string[] = [];
    const host: Host<void> = {
      now: () => 0,
      send: () => log.push('send'),
      flush: () => log.push('flush'),
      wakeAt: () => undefined,
    };
    new Driver(new ByteEcho(), host, (event) => log.push(event)).input(Uint8Array.of(1, 2), undefined);
    expect(log).toEqual(['send', 'send', 'flush', 'in 2', 'flush']);
  });

  it('arms the timer also when a handler or a command throws', () => {
    const { core, driver, log } = setUp(() => {
      throw new Error('handler');
    });
    core.at = 300;
    expect(() => driver.input(Uint8Array.of(1), undefined)).toThrow('handler');
    expect(log.at(-1)).toBe('wake 300');
    log.length = 0;
    expect(() =>
      driver.mutate(() => {
        throw new Error('command');
      }),
    ).toThrow('command');
    expect(log.at(-1)).toBe('wake 300');
  });

  it('passes the command its time and returns its result', () => {
    const { driver } = setUp(() => undefined);
    expect(driver.mutate((now) => now + 1)).toBe(101);
  });

  it('fires due timers on wake, and an early wake only re-arms', () => {
    const { core, driver, log } = setUp(() => undefined);
    core.at = 101;
    driver.wake();
    expect(log).toEqual(['wake 101']);
    core.at = 100;
    driver.wake();
    expect(log).toEqual(['wake 101', 'timeout', 'wake Infinity']);
  });

  it('does nothing after close, also when closed by a handler', () => {
    const { core, driver, log } = setUp((_, self) => self().close());
    core.events.push('later');
    driver.input(Uint8Array.of(1), undefined);
    driver.input(Uint8Array.of(2), undefined);
    driver.wake();
    driver.close();
    expect(log).toEqual([`send 1 at ${SLOT_HEADROOM}`, 'later', 'wake Infinity']);
  });
});
