import type { CongestionControlName, SctpOptions } from '../../src/sctp/index.ts';
import type { LinkOptions } from '../sim/index.ts';
import { connectedPair, type Pair } from './helpers.ts';

export interface Path {
  readonly mbps: number;
  readonly rttMs: number;
  readonly loss: number;
  /** Bottleneck queue as a share of the bandwidth-delay product. */
  readonly queue: number;
}

export interface Goodput {
  readonly mbps: number;
  /** Of what the link could carry as user data. */
  readonly share: number;
  readonly retransmissions: number;
  readonly timeouts: number;
  /** Share of the link in the first seconds, those of the warm-up: slow start and what it lost. */
  readonly startShare: number;
  /** Packets that the bottleneck's queue dropped in the warm-up. */
  readonly startDrops: number;
}

const MESSAGE = new Uint8Array(16_384);
/** User data per byte on the link: 1,163 of 1,191 in a datagram with 28 of UDP and IPv4. */
const EFFICIENCY = 1160 / (1191 + 28);

export function pathLink(path: Path): { forward: LinkOptions; back: LinkOptions } {
  const bdp = (path.mbps * 1000 * path.rttMs) / 8;
  const base = { latencyMs: path.rttMs / 2, bitsPerSecond: path.mbps * 1e6 };
  return {
    forward: { ...base, loss: path.loss, queueBytes: Math.max(bdp * path.queue, 15_000) },
    back: { ...base, loss: path.loss, queueBytes: 1_000_000 },
  };
}

/** Keeps `side` a busy. */
export function keepSending(pair: Pair, streamId = 0): void {
  const { core, end } = pair.a;
  const fill = () => {
    while (core.state === 'established' && core.bufferedAmount(streamId) < 1_000_000) {
      pair.a.send({ streamId, bytes: MESSAGE });
    }
  };
  const before = end.onEvent;
  end.driver.mutate(() => core.setBufferedAmountLowThreshold(streamId, 500_000));
  end.onEvent = (event) => {
    before?.(event);
    if (event.type === 'buffered-amount-low') fill();
  };
  fill();
}

/** Goodput of one long transfer over `seconds`, after `warmUpSeconds` that are not counted. */
export function measureGoodput(
  path: Path,
  congestionControl: CongestionControlName,
  seconds: number,
  warmUpSeconds = 0,
  seed = 1,
  options: Partial<SctpOptions> = {},
): Goodput {
  const { forward, back } = pathLink(path);
  const common = { zeroChecksum: true, congestionControl, ...options };
  const pair = connectedPair({ seed, link: forward, back, a: common, b: common, maxSteps: 50_000_000 });
  const start = pair.world.now;
  let received = 0;
  pair.b.end.onEvent = (event) => {
    if (event.type === 'message') received += event.bytes.length;
  };
  keepSending(pair);
  let startBytes = 0;
  let startDrops = 0;
  for (let i = 1; i <= (warmUpSeconds + seconds) * 10; i++) {
    pair.world.run({ until: start + i * 100 });
    pair.b.end.events.length = 0; // long runs must not keep every message
    if (i !== warmUpSeconds * 10) continue;
    startBytes = received;
    startDrops = pair.a.end.link.counts.queueDrops;
    received = 0;
  }
  const mbps = (received * 8) / 1e6 / seconds;
  const stats = pair.a.core.stats();
  return {
    mbps,
    share: mbps / (path.mbps * EFFICIENCY),
    retransmissions: stats.retransmissions,
    timeouts: stats.timeouts,
    startShare: (startBytes * 8) / 1e6 / Math.max(1, warmUpSeconds) / (path.mbps * EFFICIENCY),
    startDrops,
  };
}
