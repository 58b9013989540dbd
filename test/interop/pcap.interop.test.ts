import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPcap } from '../../src/io/index.ts';
import { LOOPBACK, once, Pair } from '../e2e/support.ts';
import { requireProgram } from './peers.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'purertc-pcap-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('tshark', () => {
  it('reads a capture of a connection, and with its key log the packets inside', async () => {
    const pcap = openPcap(join(folder, 'call.pcap'));
    const keys: string[] = [];
    // A suite that Wireshark 4.0 can decrypt.
    const dtls = {
      keyLog: (line: string) => keys.push(line),
      cipherSuites: ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'] as const,
    };
    const pair = new Pair({ purertc: { ...LOOPBACK.purertc, onDatagram: pcap.onDatagram, dtls } });
    const [a, b] = await pair.connect();
    const received = once(b, 'message');
    a.send('words that only the key log shows');
    await received;
    pair.close();
    pcap.close();
    writeFileSync(join(folder, 'call.keys'), `${keys.join('\n')}\n`);
    const text = execFileSync(
      requireProgram('tshark'),
      [
        ...['-r', join(folder, 'call.pcap'), '-o', `tls.keylog_file:${join(folder, 'call.keys')}`],
        ...['-o', 'ip.check_checksum:TRUE', '-o', 'udp.check_checksum:TRUE', '-V', '-x'],
      ],
      { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 * 1024 * 1024 },
    );
    const shows = ['Session Traversal Utilities', 'Decrypted DTLS', 'words that only'].map((words) =>
      text.includes(words),
    );
    expect(shows).toEqual([true, true, true]);
    expect(['Malformed Packet', 'incorrect, should be'].map((words) => text.includes(words))).toEqual([false, false]);
  });
});
