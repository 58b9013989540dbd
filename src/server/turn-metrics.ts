import type { LabelValues, Registry } from 'prom-client';
import type { TurnServerStats } from '../turn/index.ts';

/** What the shell adds to what the core counts. */
export interface TurnShellStats {
  /** Open TCP, TLS and DTLS connections. */
  readonly connections: number;
  /** Connections that were refused, because there were too many in all, or of their source. */
  readonly refusedTotal: number;
  readonly refusedPerSourceTotal: number;
  /** Datagrams that the system refused, or that a slow connection had no room for. */
  readonly sendErrorsTotal: number;
}

type Sample = readonly [labels: LabelValues<string>, value: number];

/**
 * The text format of Prometheus, version 0.0.4, by `prom-client`. That is an optional dependency, loaded with the first
 * question: most programs never serve metrics, and it weighs more than the rest of the server.
 * @throws rejects where it is not installed.
 */
export async function prometheusText(
  stats: TurnServerStats,
  shell: TurnShellStats,
  drops: Readonly<Record<string, number | undefined>>,
): Promise<string> {
  const { Counter, Gauge, Registry } = await import('prom-client');
  // The figures are kept where they arise; a registry of this one answer only spells them out.
  const registry: Registry = new Registry();
  const gauge = (name: string, help: string, samples: readonly Sample[]): void => {
    const metric = new Gauge({ name, help, labelNames: labelNames(samples), registers: [registry] });
    for (const [labels, value] of samples) metric.set(labels, value);
  };
  const counter = (name: string, help: string, samples: readonly Sample[]): void => {
    const metric = new Counter({ name, help, labelNames: labelNames(samples), registers: [registry] });
    for (const [labels, value] of samples) metric.inc(labels, value);
  };
  const { traffic } = stats;
  gauge('turn_allocations', 'Live allocations.', labelled('transport', stats.allocationsByTransport));
  gauge('turn_relays', 'Open relayed addresses.', [[{}, stats.relays]]);
  gauge('turn_reservations', 'Relayed addresses held for a token.', [[{}, stats.reservations]]);
  gauge('turn_peer_connections', 'TCP connections to peers.', [[{}, stats.peerConnections]]);
  gauge('turn_connections', 'Open TCP, TLS and DTLS connections.', [[{}, shell.connections]]);
  gauge('turn_draining', '1 while no new allocations are made.', [[{}, stats.draining ? 1 : 0]]);
  counter('turn_allocations_total', 'Allocations made.', [[{}, stats.allocationsTotal]]);
  counter('turn_requests_total', 'TURN requests.', labelled('method', stats.requestsTotal));
  counter('turn_errors_total', 'Error responses.', labelled('code', stats.errorsTotal));
  counter('stun_binding_requests_total', 'Binding requests.', [[{}, stats.bindingRequestsTotal]]);
  counter('turn_relayed_packets_total', 'Datagrams relayed.', [
    [{ direction: 'to_peer' }, traffic.toPeerPackets],
    [{ direction: 'to_client' }, traffic.toClientPackets],
  ]);
  counter('turn_relayed_bytes_total', 'Bytes of data relayed.', [
    [{ direction: 'to_peer' }, traffic.toPeerBytes],
    [{ direction: 'to_client' }, traffic.toClientBytes],
  ]);
  counter('turn_drops_total', 'Input that was not acted on.', labelled('reason', drops));
  counter('turn_refused_connections_total', 'Connections refused, because of too many in all or of their source.', [
    [{ bound: 'all' }, shell.refusedTotal],
    [{ bound: 'source' }, shell.refusedPerSourceTotal],
  ]);
  counter('turn_send_errors_total', 'Datagrams that could not be sent.', [[{}, shell.sendErrorsTotal]]);
  return registry.metrics();
}

function labelled(label: string, values: Readonly<Record<string, number | undefined>>): Sample[] {
  return Object.entries(values).map(([key, value]) => [{ [label]: key }, value ?? 0]);
}

function labelNames(samples: readonly Sample[]): string[] {
  return Object.keys(samples[0]?.[0] ?? {});
}
