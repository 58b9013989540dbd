import { describe, expect, it } from 'vitest';
import { deriveConnectionState } from '../../src/peer-connection/connection-state.ts';

const DTLS = ['new', 'connecting', 'connected', 'closed', 'failed'] as const;

/** W3C RTCPeerConnectionState, spelled out for one transport: a row for each state of ICE, a column for each of DTLS. */
const TABLE = {
  new: ['new', 'connecting', 'connecting', 'new', 'failed'],
  checking: ['connecting', 'connecting', 'connecting', 'connecting', 'failed'],
  connected: ['connecting', 'connecting', 'connected', 'connected', 'failed'],
  completed: ['connecting', 'connecting', 'connected', 'connected', 'failed'],
  disconnected: ['disconnected', 'disconnected', 'disconnected', 'disconnected', 'failed'],
  failed: ['failed', 'failed', 'failed', 'failed', 'failed'],
  closed: ['new', 'connecting', 'connected', 'new', 'failed'],
} as const;

describe.each(Object.entries(TABLE))('ICE %s', (ice, row) => {
  it.each(row.map((expected, i) => [DTLS[i]!, expected] as const))('DTLS %s: %s', (dtls, expected) => {
    expect(deriveConnectionState(ice as keyof typeof TABLE, dtls)).toBe(expected);
  });
});
