import { type FiveTuple, formatAddress, type TransportAddress } from '../core/index.ts';
import type { TurnServerEvent } from '../turn/index.ts';
import type { LogEntry } from './log.ts';

/** What the log says of an event; undefined for those that are between core and shell only. */
export function logEntryOf(event: TurnServerEvent): LogEntry | undefined {
  switch (event.type) {
    case 'allocated': {
      const { username, realm, origin, path, relayed, lifetimeS } = event;
      const who = { username, realm, ...(origin !== undefined && { origin }) };
      return { level: 'info', event: 'allocated', ...who, ...describe(path, relayed), lifetimeS };
    }
    case 'released': {
      const { username, path, relayed, reason, durationMs, traffic } = event;
      const durationS = Math.round(durationMs / 1000);
      const what = { ...describe(path, relayed), reason, durationS, ...traffic };
      return { level: 'info', event: 'released', username, ...what };
    }
    case 'moved': {
      const { username, from, path } = event;
      const where = { from: formatAddress(from.remote), transport: path.protocol, client: formatAddress(path.remote) };
      return { level: 'info', event: 'moved', username, ...where };
    }
    case 'drained':
      return { level: 'info', event: 'drained' };
    default:
      return undefined;
  }
}

function describe(path: FiveTuple, relayed: readonly TransportAddress[]): Record<string, string> {
  return {
    transport: path.protocol,
    client: formatAddress(path.remote),
    relayed: relayed.map(formatAddress).join(','),
  };
}
