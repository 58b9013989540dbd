import { execFileSync } from 'node:child_process';
import { afterAll, describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '../../src/core/index.ts';
import { CIPHER_SUITES, DtlsClient, DtlsServer } from '../../src/dtls/index.ts';
import { connectPair, PERFECT, SimWorld, simEnv } from '../sim/index.ts';
import { Credentials, ENV } from './dtls-peers.ts';
import { requireProgram } from './peers.ts';

/** IPv4 and UDP around a payload, without checksums: enough for a dissector. */
function packet(from: 'client' | 'server', payload: Uint8Array): Uint8Array {
  const [source, target] = from === 'client' ? [1, 2] : [2, 1];
  const [sourcePort, targetPort] = from === 'client' ? [50_000, 4433] : [4433, 50_000];
  const udp = 8 + payload.length;
  const ip = 20 + udp;
  return concatBytes(
    Uint8Array.of(0x45, 0, ip >>> 8, ip, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, source, 192, 0, 2, target),
    Uint8Array.of(sourcePort >>> 8, sourcePort, targetPort >>> 8, targetPort, udp >>> 8, udp, 0, 0),
    payload,
  );
}

/** A pcap file (little-endian, microseconds) of raw IP packets, LINKTYPE_RAW = 101. */
function pcap(packets: readonly { readonly atMs: number; readonly bytes: Uint8Array }[]): Uint8Array {
  const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
  const head = concatBytes(u32(0xa1b2c3d4), Uint8Array.of(2, 0, 4, 0), u32(0, 0, 65_535, 101));
  return concatBytes(
    head,
    ...packets.flatMap(({ atMs, bytes }) => [
      u32(Math.floor(atMs / 1000), Math.floor((atMs % 1000) * 1000), bytes.length, bytes.length),
      bytes,
    ]),
  );
}

describe('tshark', () => {
  const credentials = new Credentials();
  afterAll(() => credentials.remove());
  const psk = { identity: utf8('sensor'), key: utf8('a shared key') };
  const keys = { ecdsa: credentials.make(), rsa: credentials.make({ keyType: 'rsa' }), psk: credentials.make() };

  // Wireshark 4.0 leaves the epoch out of the ChaCha20 nonce of DTLS, and has no decryption for ECDHE_PSK with GCM and CCM;
  // those suites are held against OpenSSL and GnuTLS, whose handshakes it cannot decrypt either.
  const decryptable = CIPHER_SUITES.filter((s) => s.aead !== 'chacha20-poly1305' && s.keyExchange !== 'ecdhe-psk');

  it.each(decryptable.map((s) => ({ name: s.name, authentication: s.authentication })))(
    'decrypts a connection with our key log: $name',
    ({ name, authentication }) => {
      const world = new SimWorld(1);
      const lines: string[] = [];
      const common = { certificate: keys[authentication], verifyPeer: () => undefined, cipherSuites: [name] };
      const env = simEnv(world, ENV.crypto);
      const client = new DtlsClient({ ...common, env, psk, keyLog: (line) => lines.push(line) });
      const server = new DtlsServer({ ...common, env, psk: () => psk.key });
      const { a, b } = connectPair(world, client, server, PERFECT);
      const packets: { atMs: number; bytes: Uint8Array }[] = [];
      a.link.onSend = (bytes, now) => void packets.push({ atMs: now, bytes: packet('client', bytes) });
      b.link.onSend = (bytes, now) => void packets.push({ atMs: now, bytes: packet('server', bytes) });
      a.driver.mutate((now) => client.start(now));
      world.run({ until: 100 });
      a.driver.mutate((now) => client.send(utf8('words that only the key log shows'), now));
      world.run({ until: 200 });
      const capture = credentials.write(`${name}.pcap`, pcap(packets));
      const keyLog = credentials.write(`${name}.keys`, `${lines.join('\n')}\n`);
      const args = [
        '-r',
        capture,
        '-o',
        `tls.keylog_file:${keyLog}`,
        '-d',
        'udp.port==4433,dtls',
        '-Y',
        'dtls',
        '-V',
        '-x',
      ];
      const text = execFileSync(requireProgram('tshark'), args, {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const shows = ['Decrypted DTLS', 'words that only', 'Malformed Packet'].map((words) => text.includes(words));
      expect(shows).toEqual([true, true, false]);
    },
  );
});
