import type { FiveTuple, Instant, SansIo, TransmitSlot } from '../../src/core/index.ts';
import { IceAgent, type IceAgentOptions, type IceEvent } from '../../src/ice/index.ts';
import { Relays } from '../../src/peer-connection/relays.ts';

/** An agent with TURN allocations, put together as `PeerTransport` does it, without what stands above ICE. */
export class RelayedAgent implements SansIo<IceEvent, FiveTuple> {
  readonly ice: IceAgent;
  readonly relays: Relays;

  constructor(options: IceAgentOptions) {
    this.ice = new IceAgent(options);
    this.relays = new Relays({
      env: options.env,
      ice: this.ice,
      onData: (bytes, path, now) => this.ice.handleInput(bytes, path, now),
      onEvent: () => undefined,
    });
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (!this.relays.handleInput(bytes, path, now)) this.ice.handleInput(bytes, path, now);
    this.relays.pump(now);
  }

  handleTimeout(now: Instant): void {
    this.ice.handleTimeout(now);
    this.relays.handleTimeout(now);
    this.relays.pump(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    for (;;) {
      const { offset } = slot;
      if (this.relays.pollTransmit(slot, now)) return true;
      if (!this.ice.pollTransmit(slot, now)) return false;
      if (this.relays.route(slot, now)) return true;
      slot.offset = offset; // it waits at the relay
    }
  }

  pollEvent(): IceEvent | undefined {
    return this.ice.pollEvent();
  }

  nextTimeout(): Instant {
    return Math.min(this.ice.nextTimeout(), this.relays.nextTimeout());
  }
}
