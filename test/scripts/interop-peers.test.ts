import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const interop = new URL('../interop/', import.meta.url);
const script = readFileSync(new URL('../../scripts/install-interop-peers.sh', import.meta.url), 'utf8');

/** Debian's package of each program and header that the interop tests use. */
const PACKAGES: Readonly<Record<string, string>> = {
  chromium: 'chromium',
  gcc: 'gcc',
  'gnutls-cli': 'gnutls-bin',
  'gnutls-serv': 'gnutls-bin',
  ip: 'iproute2',
  nft: 'nftables',
  openssl: 'openssl',
  stun: 'stun-client',
  tshark: 'tshark',
  turnadmin: 'coturn',
  turnserver: 'coturn',
  turnutils_natdiscovery: 'coturn',
  turnutils_peer: 'coturn',
  turnutils_stunclient: 'coturn',
  turnutils_uclient: 'coturn',
  'mbedtls/ssl.h': 'libmbedtls-dev',
  'usrsctp.h': 'libusrsctp-dev',
};

/** What the files ask for by name. */
function used(): Set<string> {
  const names = new Set<string>();
  for (const file of readdirSync(interop)) {
    if (!/\.(ts|c)$/.test(file)) continue;
    const text = readFileSync(new URL(file, interop), 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:requireProgram|PeerProcess)\(\s*'([^']+)'/g)) names.add(name);
    for (const [, name = ''] of text.matchAll(/#include <((?:mbedtls\/ssl|usrsctp)\.h)>/g)) names.add(name);
  }
  return names;
}

/** A machine that has only just got the peers must be able to run every interop test: a missing one fails. */
describe('scripts/install-interop-peers.sh', () => {
  const installed = /^packages=\(([^)]*)\)/m.exec(script)?.[1]?.trim().split(/\s+/) ?? [];
  const runtimes = [...script.matchAll(/^ {2}'(\w+) npm:/gm)].map(([, name]) => name);

  it('installs each program and library that the interop tests name', () => {
    const names = [...used()];
    expect(names).toEqual(expect.arrayContaining(['chromium', 'tshark', 'turnserver', 'usrsctp.h', 'node22']));
    const missing = names.filter((name) => !runtimes.includes(name) && !installed.includes(PACKAGES[name] ?? ''));
    expect(missing).toEqual([]);
  });

  it('installs nothing that none of them needs', () => {
    const headersOfC = 'libc6-dev'; // which gcc only recommends
    expect(installed.filter((name) => name !== headersOfC && !Object.values(PACKAGES).includes(name))).toEqual([]);
  });
});
