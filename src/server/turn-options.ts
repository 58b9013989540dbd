/** How the value of an option is written. */
type OptionKind = 'flag' | 'number' | 'text' | 'list';

export interface TurnOption {
  readonly name: string;
  /** One letter, as coturn's. */
  readonly short?: string;
  readonly kind: OptionKind;
  readonly argument?: string;
  readonly description: string;
}

function flag(name: string, description: string, short?: string): TurnOption {
  return { name, kind: 'flag', description, ...(short === undefined ? {} : { short }) };
}

function value(kind: OptionKind, name: string, argument: string, description: string, short?: string): TurnOption {
  return { name, kind, argument, description, ...(short === undefined ? {} : { short }) };
}

/**
 * The options of `purertc turn-server`, on the command line and in its configuration file. Names and meaning are coturn's;
 * those that coturn does not have say so.
 */
export const TURN_OPTIONS: readonly TurnOption[] = [
  value(
    'list',
    'listening-ip',
    'ip',
    'address to listen on; may stand several times (default: all of this machine)',
    'L',
  ),
  value('number', 'listening-port', 'port', 'port for UDP and TCP (default: 3478)', 'p'),
  value('number', 'tls-listening-port', 'port', 'port for TLS and DTLS (default: 5349); the other takes them too'),
  value('number', 'alt-listening-port', 'port', 'second port for behaviour discovery (default: listening-port + 1)'),
  value(
    'list',
    'relay-ip',
    'ip',
    'address of relayed ports; may stand several times (default: those listened on)',
    'E',
  ),
  value('list', 'external-ip', 'public[/private]', 'address that peers see, behind a one-to-one NAT', 'X'),
  value('number', 'min-port', 'port', 'lowest relayed port (default: 49152)'),
  value('number', 'max-port', 'port', 'highest relayed port (default: 65535)'),
  value('text', 'realm', 'name', 'realm of the users, usually a domain (default: the host name)', 'r'),
  value(
    'list',
    'origin-realm',
    'origin=realm',
    "realm for clients of that web origin, as https://example.org=name (coturn's are in its database); may stand several times",
  ),
  flag('check-origin-consistency', 'refuse what comes with another ORIGIN than its allocation began with'),
  value(
    'list',
    'user',
    'name:password',
    'long-term user, or name:0xKEY with the MD5 key; may stand several times',
    'u',
  ),
  flag('lt-cred-mech', 'long-term credentials; always on, there is no open server', 'a'),
  flag('use-auth-secret', 'ephemeral REST credentials, with static-auth-secret'),
  value('list', 'static-auth-secret', 'secret', 'shared secret of REST credentials; several for a change of secrets'),
  value('number', 'user-quota', 'count', 'allocations of one user (default: 0, no bound)', 'q'),
  value('number', 'total-quota', 'count', 'allocations in all (default: 0, no bound but the built-in one)', 'Q'),
  value(
    'number',
    'max-connections-per-source',
    'count',
    "TCP, TLS and DTLS connections of one IPv4 address or IPv6 /64 (not coturn's; default: 1000, none for loopback; 0, no bound)",
  ),
  value('number', 'max-bps', 'bytes', 'bytes per second of one session, each direction (default: 0, no bound)', 's'),
  value(
    'number',
    'bps-capacity',
    'bytes',
    'bytes per second of all sessions, each direction (default: 0, no bound)',
    'B',
  ),
  value('number', 'max-allocate-lifetime', 'seconds', 'longest lifetime given (default: 3600)'),
  value('number', 'stale-nonce', 'seconds', 'lifetime of a nonce (default: 600)'),
  flag('no-udp', 'no UDP listeners'),
  flag('no-tcp', 'no TCP listeners'),
  flag('no-tcp-relay', 'no relays towards peers over TCP (RFC 6062)'),
  flag('no-tls', 'no TLS'),
  flag('no-dtls', 'no DTLS'),
  value('text', 'cert', 'file', 'PEM certificate chain for TLS and DTLS'),
  value('text', 'pkey', 'file', 'PEM private key (default: in the file of cert)'),
  flag('allow-loopback-peers', 'let clients reach this machine: for tests only'),
  flag('no-multicast-peers', 'no multicast peers; always so'),
  value('list', 'allowed-peer-ip', 'ip[-ip]', 'peers allowed whatever else is denied; also address/bits'),
  value('list', 'denied-peer-ip', 'ip[-ip]', 'peers denied in addition; also address/bits'),
  flag('allow-private-peers', "let clients reach private addresses (not an option of coturn's, which does by default)"),
  value('text', 'alternate-server', 'ip:port', 'where to send clients while draining'),
  flag('mobility', 'let allocations move to another client address (RFC 8016)'),
  flag('fingerprint', 'FINGERPRINT in all responses, not only where the request has one', 'f'),
  flag('oauth', 'take tokens of an authorization server (RFC 7635), with oauth-key'),
  value('text', 'server-name', 'name', 'name that tokens are made for (default: the realm)'),
  value(
    'list',
    'oauth-key',
    'kid:base64',
    "key of tokens, 16 or 32 bytes (coturn's are in its database); may stand several times",
  ),
  flag('icmp', "tell clients of ICMP errors; shares relayed ports with other programs here (not coturn's)"),
  flag('no-stun', 'no answers to Binding requests'),
  flag('stun-only', 'no relays, Binding requests only'),
  flag('no-stun-backward-compatibility', 'no answers to clients of RFC 3489, and no MAPPED-ADDRESS'),
  flag('response-origin-only-with-rfc5780', 'RESPONSE-ORIGIN with behaviour discovery only; always so'),
  flag('no-loopback-peers', 'no peers on this machine; always so without allow-loopback-peers'),
  flag('no-tlsv1', 'no TLS 1.0; always so'),
  flag('no-tlsv1_1', 'no TLS 1.1; always so'),
  flag('no-cli', 'no telnet console; always so'),
  flag('verbose', 'tell of each allocation; always so', 'v'),
  flag('simple-log', 'the log file has just the name that it was given; always so'),
  flag('syslog', 'log for the system log: priorities in front of the lines on standard output, as systemd reads them'),
  value('text', 'log-file', 'file', 'log into a file; stdout, - and syslog have their meaning', 'l'),
  value('text', 'pidfile', 'file', "write the process id there (default: none; coturn's is /var/run/turnserver.pid)"),
  flag('no-software-attribute', 'do not name this server; always so'),
  flag('no-rfc5780', 'no behaviour discovery, which two listening-ip make possible'),
  flag('prometheus', 'serve metrics over HTTP'),
  value('number', 'prometheus-port', 'port', 'port of the metrics (default: 9641)'),
  value('text', 'prometheus-address', 'ip', "address of the metrics (default: 127.0.0.1; coturn's is all)"),
  value('text', 'prometheus-path', 'path', 'path of the metrics (default: /metrics)'),
  value(
    'number',
    'drain-timeout',
    'seconds',
    "end allocations that long after SIGTERM (not coturn's; default: 0, wait)",
  ),
  value('number', 'workers', 'count', "processes to share the clients (not coturn's; default: 0, one process for all)"),
];
