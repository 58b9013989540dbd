import { describe, expect, it } from 'vitest';
import { InterfaceMonitor, platform } from '../../src/io/index.ts';

function machine(...ips: string[]) {
  const state = { ips, timers: new Set<() => void>() };
  const monitor = new InterfaceMonitor({
    interfaces: () => state.ips.map((ip) => ({ name: 'eth0', ip, internal: false })),
    repeat: (look) => {
      state.timers.add(look);
      return () => state.timers.delete(look);
    },
  });
  return {
    state,
    monitor,
    change: (...now: string[]) => {
      state.ips = now;
      for (const look of [...state.timers]) look();
    },
  };
}

describe('InterfaceMonitor', () => {
  it('tells every watcher of addresses that appear and vanish, and nobody of another order', () => {
    const { monitor, change } = machine('10.0.0.1', '10.0.0.2');
    const told: string[] = [];
    const end = monitor.watch(() => told.push('a'));
    monitor.watch(() => told.push('b'));
    change('10.0.0.2', '10.0.0.1');
    expect(told).toEqual([]);
    change('10.0.0.2');
    expect(told).toEqual(['a', 'b']);
    end();
    change('10.0.0.2', '10.0.0.3');
    expect(told).toEqual(['a', 'b', 'b']);
  });

  it('has one timer while anybody watches, and none without', () => {
    const { monitor, state, change } = machine('10.0.0.1');
    expect(state.timers.size).toBe(0);
    const ends = [monitor.watch(() => undefined), monitor.watch(() => undefined)];
    expect(state.timers.size).toBe(1);
    for (const end of [...ends, ...ends]) end();
    expect(state.timers.size).toBe(0);
    // What changed while nobody watched is not news.
    change('10.0.0.9');
    let told = 0;
    monitor.watch(() => told++);
    change('10.0.0.9');
    expect(told).toBe(0);
  });

  it('the platform watches the real interfaces, without keeping the process alive', () => {
    const end = platform.watchInterfaces?.(() => undefined);
    end?.();
    expect(end).toBeTypeOf('function');
  });
});
