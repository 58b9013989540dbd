import type { TurnServerStats } from '../turn/index.ts';

/** What the shell adds to what the core counts. */
export interface TurnShellStats {
  /** Open TCP, TLS and DTLS connections. */
  readonly connections: number;
  /** Datagrams that the system refused, or that a slow connection had no room for. */
  readonly sendErrorsTotal: number;
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** The text format of Prometheus, version 0.0.4. */
export function prometheusText(
  stats: TurnServerStats,
  shell: TurnShellStats,
  drops: Readonly<Record<string, number | undefined>>,
): string {
  const { traffic } = stats;
  const direction = (toPeers: number, toClients: number): Sample[] => [
    [{ direction: 'to_peer' }, toPeers],
    [{ direction: 'to_client' }, toClients],
  ];
  return [
    metric('turn_allocations', 'gauge', 'Live allocations.', labelled('transport', stats.allocationsByTransport)),
    metric('turn_relays', 'gauge', 'Open relayed addresses.', [[{}, stats.relays]]),
    metric('turn_reservations', 'gauge', 'Relayed addresses held for a token.', [[{}, stats.reservations]]),
    metric('turn_peer_connections', 'gauge', 'TCP connections to peers.', [[{}, stats.peerConnections]]),
    metric('turn_connections', 'gauge', 'Open TCP, TLS and DTLS connections.', [[{}, shell.connections]]),
    metric('turn_draining', 'gauge', '1 while no new allocations are made.', [[{}, stats.draining ? 1 : 0]]),
    metric('turn_allocations_total', 'counter', 'Allocations made.', [[{}, stats.allocationsTotal]]),
    metric('turn_requests_total', 'counter', 'TURN requests.', labelled('method', stats.requestsTotal)),
    metric('turn_errors_total', 'counter', 'Error responses.', labelled('code', stats.errorsTotal)),
    metric('stun_binding_requests_total', 'counter', 'Binding requests.', [[{}, stats.bindingRequestsTotal]]),
    metric(
      'turn_relayed_packets_total',
      'counter',
      'Datagrams relayed.',
      direction(traffic.toPeerPackets, traffic.toClientPackets),
    ),
    metric(
      'turn_relayed_bytes_total',
      'counter',
      'Bytes of data relayed.',
      direction(traffic.toPeerBytes, traffic.toClientBytes),
    ),
    metric('turn_drops_total', 'counter', 'Input that was not acted on.', labelled('reason', drops)),
    metric('turn_send_errors_total', 'counter', 'Datagrams that could not be sent.', [[{}, shell.sendErrorsTotal]]),
  ].join('');
}

function labelled(label: string, values: Readonly<Record<string, number | undefined>>): Sample[] {
  return Object.entries(values).map(([key, value]) => [{ [label]: key }, value ?? 0]);
}

function metric(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

function escapeLabel(text: string): string {
  return text.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}
