import { describe, expect, it } from 'vitest';
import { hexToBytes } from '../../src/core/index.ts';
import { mergeTurnSettings, parseTurnConfig, planTurnServer, type TurnPlan } from '../../src/server/index.ts';

const HOST = { addresses: ['192.0.2.1', '2001:db8::1'], hostName: 'turn.example.org' };
const plan = (text: string): TurnPlan => planTurnServer(parseTurnConfig(`user=ada:lovelace\n${text}`, 'f'), HOST);

describe('the configuration file', () => {
  it("has coturn's form: names, values, flags, comments, quotes, white space", () => {
    const text =
      '# a comment\n; another\n\nrealm = example.org\r\nno-tcp\n  user="ada:l=ove"\nuser=bob:x\nno-udp=off\n';
    expect([...parseTurnConfig(text, 'f')]).toEqual([
      ['realm', ['example.org']],
      ['no-tcp', ['']],
      ['user', ['ada:l=ove', 'bob:x']],
    ]);
  });

  it('names every line that it does not understand', () => {
    const text = 'realm=x\nbogus=1\nno-tcp=maybe\nmin-port=\nno-auth\n';
    expect(() => parseTurnConfig(text, 'turnserver.conf')).toThrow(
      [
        "turnserver.conf:2: unknown option 'bogus'",
        "turnserver.conf:3: 'no-tcp' is a flag and takes no 'maybe'",
        "turnserver.conf:4: 'min-port' needs a value",
        "turnserver.conf:5: unknown option 'no-auth'",
      ].join('\n'),
    );
  });

  it('gives way to the command line, but for lists, which add', () => {
    const file = parseTurnConfig('realm=a\nuser=ada:1\nmin-port=50000', 'f');
    const merged = mergeTurnSettings(file, parseTurnConfig('realm=b\nuser=bob:2', 'f'));
    expect([...merged]).toEqual([
      ['realm', ['b']],
      ['user', ['ada:1', 'bob:2']],
      ['min-port', ['50000']],
    ]);
  });
});

describe('the plan', () => {
  it('listens on all addresses over UDP and TCP, with the machine as relay and realm', () => {
    const { listeners, options, metrics, certificateFiles } = plan('');
    expect(listeners.map(({ host, port, transport }) => `${transport} ${host} ${port}`)).toEqual([
      'udp 192.0.2.1 3478',
      'tcp 192.0.2.1 3478',
      'udp 2001:db8::1 3478',
      'tcp 2001:db8::1 3478',
    ]);
    expect(options.realm).toBe('turn.example.org');
    expect(options.relayAddresses).toEqual([{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }]);
    expect({ metrics, certificateFiles }).toEqual({ metrics: undefined, certificateFiles: undefined });
  });

  it('adds the TLS port where there is a certificate, but for what is switched off', () => {
    const ports = (text: string) =>
      plan(`listening-ip=192.0.2.1\n${text}`).listeners.map((l) => `${l.transport}${l.port}`);
    expect(ports('cert=c\npkey=k')).toEqual(['udp3478', 'udp5349', 'tcp3478', 'tcp5349']);
    expect(ports('cert=c\nno-dtls\ntls-listening-port=443')).toEqual(['udp3478', 'tcp3478', 'tcp443']);
    expect(ports('cert=c\nno-udp\nno-tls\nlistening-port=80')).toEqual(['tcp80']);
    expect(plan('cert=c').certificateFiles).toEqual({ cert: 'c', key: 'c' });
  });

  it('knows users by password and by key', () => {
    const find = plan('user=bob:0x0123456789abcdef0123456789abcdef\nuser=eve:a:b').options.findUser!;
    expect(find('ada', 'r')).toEqual({ username: 'ada', password: 'lovelace' });
    expect(find('bob', 'r')).toEqual({
      username: 'bob',
      md5Key: hexToBytes('0123456789abcdef0123456789abcdef'),
    });
    expect(find('eve', 'r')).toEqual({ username: 'eve', password: 'a:b' });
    expect(find('nobody', 'r')).toBeUndefined();
  });

  it('knows realms by origin', () => {
    const { options } = plan('origin-realm=https://b.example=b.example\ncheck-origin-consistency\nrealm=a.example');
    expect(options.realmsByOrigin).toEqual({ 'https://b.example': 'b.example' });
    expect(options.checkOriginConsistency).toBe(true);
    expect(plan('').options.checkOriginConsistency).toBe(false);
    expect(() => plan('origin-realm=b')).toThrow("origin-realm must be origin=realm, not 'b'");
    expect(() => plan('origin-realm=b=')).toThrow('origin-realm');
  });

  it('translates limits; 0 means none, as in coturn', () => {
    const text =
      'min-port=50000\nmax-port=50999\nuser-quota=3\ntotal-quota=0\nmax-bps=100000\nbps-capacity=0\nstale-nonce=60\nmax-allocate-lifetime=900';
    const { options } = plan(text);
    expect(options).toMatchObject({ minPort: 50_000, maxPort: 50_999, userQuota: 3, nonceLifetimeMs: 60_000 });
    expect(options).toMatchObject({ maxLifetimeS: 900, sessionRate: { perSecond: 100_000, burst: 100_000 } });
    expect(options).not.toHaveProperty('totalQuota');
    expect(options).not.toHaveProperty('totalRate');
  });

  it('maps external addresses, one for all or one for each', () => {
    const relays = (text: string) => plan(`relay-ip=10.0.0.1\nrelay-ip=10.0.0.2\n${text}`).options.relayAddresses;
    expect(relays('external-ip=203.0.113.1')).toEqual([
      { ip: '10.0.0.1', externalIp: '203.0.113.1' },
      { ip: '10.0.0.2', externalIp: '203.0.113.1' },
    ]);
    expect(relays('external-ip=203.0.113.2/10.0.0.2')).toEqual([
      { ip: '10.0.0.1' },
      { ip: '10.0.0.2', externalIp: '203.0.113.2' },
    ]);
  });

  it('offers behaviour discovery on two addresses of one family', () => {
    const two = 'listening-ip=192.0.2.1\nlistening-ip=192.0.2.2\nno-tcp\n';
    const { options, listeners } = plan(two);
    expect(options.behaviourDiscovery).toEqual({
      primary: { ip: '192.0.2.1', port: 3478 },
      alternate: { ip: '192.0.2.2', port: 3479 },
    });
    expect(listeners.map((l) => `${l.host}:${l.port}`)).toEqual([
      '192.0.2.1:3478',
      '192.0.2.2:3478',
      '192.0.2.1:3479',
      '192.0.2.2:3479',
    ]);
    expect(plan(`${two}no-rfc5780`).options).not.toHaveProperty('behaviourDiscovery');
  });

  it('serves metrics on loopback unless told otherwise', () => {
    expect(plan('prometheus').metrics).toEqual({ host: '127.0.0.1', port: 9641, path: '/metrics' });
    expect(plan('prometheus\nprometheus-port=1\nprometheus-path=/m').metrics).toMatchObject({ port: 1, path: '/m' });
  });

  it.each([
    ['min-port=80', /min-port must be a whole number from 1024/],
    ['listening-port=x', /listening-port/],
    ['listening-ip=localhost', /listening-ip must be an IP address/],
    ['use-auth-secret', /static-auth-secret/],
    ['pkey=k', /pkey needs cert/],
    ['no-udp\nno-tcp', /nothing to listen on/],
    ['user=nocolon', /name:password/],
    ['alternate-server=example.org', /alternate-server/],
    ['alternate-server=192.0.2.1:65536', /alternate-server must have a port/],
  ])('refuses %s', (text, message) => {
    expect(() => plan(text)).toThrow(message);
  });

  it("takes Debian's own /etc/turnserver.conf, with a user", () => {
    const debian = 'syslog\nno-rfc5780\nno-stun-backward-compatibility\nresponse-origin-only-with-rfc5780\n';
    const { options, log } = plan(debian);
    expect(options.noStunBackwardCompatibility).toBe(true);
    expect(log).toBe('syslog');
  });

  it('takes what is always so', () => {
    const text = 'no-cli\nno-tlsv1\nno-tlsv1_1\nno-loopback-peers\nverbose\nsimple-log\nno-multicast-peers';
    const { options, log } = plan(text);
    expect({ options: { ...options, findUser: undefined }, log }).toEqual({
      options: { ...plan('').options, findUser: undefined },
      log: 'stdout',
    });
  });

  it.each([
    ['', 'stdout'],
    ['log-file=stdout', 'stdout'],
    ['log-file=-', 'stdout'],
    ['log-file=syslog', 'syslog'],
    ['log-file=/var/log/turn.log', { file: '/var/log/turn.log' }],
    ['log-file=/var/log/turn.log\nsyslog', 'syslog'],
  ] as const)('logs with %j to %o', (text, target) => {
    expect(plan(text).log).toEqual(target);
  });

  it('knows the keys of tokens', () => {
    const key = Buffer.alloc(32, 7).toString('base64');
    const tokens = (text: string) => planTurnServer(parseTurnConfig(`realm=r\n${text}`, 'f'), HOST).options.oauth;
    expect(tokens(`oauth\noauth-key=north:${key}`)).toEqual({
      serverName: 'r',
      keys: [{ kid: 'north', key: new Uint8Array(32).fill(7) }],
    });
    expect(tokens(`oauth\nserver-name=s\noauth-key=north:${key}`)).toMatchObject({ serverName: 's' });
    expect(tokens(`user=a:b\noauth-key=north:${key}`)).toBeUndefined();
    expect(() => tokens('oauth')).toThrow('oauth needs oauth-key');
    expect(() => tokens('oauth\noauth-key=north:AAAA')).toThrow("not 'north…'"); // no key in a message
    expect(() => tokens(`oauth\noauth-key=${key}`)).toThrow('kid:base64');
  });

  it('needs no users for STUN alone', () => {
    const { options } = planTurnServer(parseTurnConfig('stun-only', 'f'), HOST);
    expect([options.stunOnly, options.noStun, options.icmp]).toEqual([true, false, false]);
    expect(plan('icmp').options.icmp).toBe(true);
    expect(plan('no-stun\npidfile=/run/x.pid')).toMatchObject({ options: { noStun: true }, pidFile: '/run/x.pid' });
  });

  it('has no open server', () => {
    expect(() => planTurnServer(parseTurnConfig('realm=x', 'f'), HOST)).toThrow(/no open server/);
  });
});
