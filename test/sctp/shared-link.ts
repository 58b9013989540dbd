import { Driver } from '../../src/core/index.ts';
import { nobleCrypto } from '../../src/crypto/index.ts';
import { type CongestionControlName, SctpAssociation, type SctpEvent, type SctpOptions } from '../../src/sctp/index.ts';
import { SimHost, SimLink, SimWorld, simEnv } from '../sim/index.ts';
import { type Path, pathLink } from './throughput.ts';

/** One sender and receiver among several that share a bottleneck. */
export class Flow {
  receivedBytes = 0;
  readonly a: SctpAssociation;
  readonly b: SctpAssociation;
  readonly driverA: Driver<SctpEvent, void>;
  readonly driverB: Driver<SctpEvent, void>;
  /** Called with each message at the receiver. */
  onMessage: ((bytes: Uint8Array) => void) | undefined;

  constructor(world: SimWorld, forward: SimLink, back: SimLink, options: Partial<SctpOptions>) {
    const common = { receiveWindowBytes: 16_000_000, zeroChecksum: true, ...options };
    this.a = new SctpAssociation({ env: simEnv(world, nobleCrypto), ...common });
    this.b = new SctpAssociation({ env: simEnv(world, nobleCrypto), ...common });
    const hostA = new SimHost<void>(world, (slot) =>
      forward.send(slot.buffer.subarray(slot.offset, slot.offset + slot.length), (bytes) => this.driverB.input(bytes)),
    );
    const hostB = new SimHost<void>(world, (slot) =>
      back.send(slot.buffer.subarray(slot.offset, slot.offset + slot.length), (bytes) => this.driverA.input(bytes)),
    );
    this.driverA = new Driver<SctpEvent, void>(this.a, hostA, (event) => this.#onSender(event));
    this.driverB = new Driver<SctpEvent, void>(this.b, hostB, (event) => {
      if (event.type !== 'message') return;
      this.receivedBytes += event.bytes.length;
      this.onMessage?.(event.bytes);
    });
    hostA.onWake = () => this.driverA.wake();
    hostB.onWake = () => this.driverB.wake();
    this.driverA.mutate((now) => this.a.connect(now));
  }

  /** Set to keep this stream full. */
  busyStream: number | undefined;

  #onSender(event: SctpEvent): void {
    const streamId = this.busyStream;
    if (streamId === undefined) return;
    if (event.type === 'connected') this.a.setBufferedAmountLowThreshold(streamId, 100_000);
    if (event.type === 'connected' || (event.type === 'buffered-amount-low' && event.streamId === streamId)) {
      this.driverA.mutate((now) => {
        while (this.a.bufferedAmount(streamId) < 200_000) {
          this.a.send({ streamId, ppid: 53, bytes: new Uint8Array(16_384), ordered: true }, now);
        }
      });
    }
  }
}

/** A bottleneck for several flows. */
export function makeBottleneck(path: Path, seed: number): { world: SimWorld; forward: SimLink; back: SimLink } {
  const world = new SimWorld(seed, 100_000_000);
  const { forward, back } = pathLink(path);
  return { world, forward: new SimLink(world, forward), back: new SimLink(world, back) };
}

/** Megabits a second of user data that each of two flows gets between `fromS` and `untilS`. */
export function share(
  path: Path,
  names: readonly [CongestionControlName, CongestionControlName],
  {
    fromS,
    untilS,
    secondStartsAtS = 0,
    seed = 3,
  }: { fromS: number; untilS: number; secondStartsAtS?: number; seed?: number },
): readonly [number, number] {
  const { world, forward, back } = makeBottleneck(path, seed);
  const begin = (congestionControl: CongestionControlName) => {
    const flow = new Flow(world, forward, back, { congestionControl });
    flow.busyStream = 0;
    return flow;
  };
  const first = begin(names[0]);
  world.run({ until: secondStartsAtS * 1000 });
  const second = begin(names[1]);
  world.run({ until: fromS * 1000 });
  const before = [first.receivedBytes, second.receivedBytes] as const;
  world.run({ until: untilS * 1000 });
  const mbps = (bytes: number) => (bytes * 8) / 1e6 / (untilS - fromS);
  return [mbps(first.receivedBytes - before[0]), mbps(second.receivedBytes - before[1])];
}
