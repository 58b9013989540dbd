import {
  Driver,
  type FiveTuple,
  formatAddress,
  type TransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import type { TurnServerCore, TurnServerEvent } from '../../src/turn/index.ts';
import { SimHost, type SimNetwork } from '../sim/index.ts';

/** A server core in the simulated network: binds relays when asked, as the real shell does, and gives them back. */
export class SimTurnServer {
  readonly events: TurnServerEvent[] = [];
  readonly driver: Driver<TurnServerEvent, FiveTuple>;
  /** Relays that are open now. */
  readonly relays: Map<number, { readonly local: TransportAddress; readonly unbind: () => void }> = new Map();
  /** For messages to clients whose path is no UDP one. */
  sendOnStream: (slot: TransmitSlot<FiveTuple>) => void = () => undefined;
  readonly #network: SimNetwork;
  readonly #paths = new Map<string, FiveTuple>();

  constructor(network: SimNetwork, core: TurnServerCore, listen: TransportAddress) {
    this.#network = network;
    const host = new SimHost<FiveTuple>(network.world, (slot) => {
      const { protocol, local, remote } = slot.path!;
      if (protocol !== 'udp') {
        this.sendOnStream(slot);
        return;
      }
      network.send(slot.buffer.subarray(slot.offset, slot.offset + slot.length), local, remote);
    });
    this.driver = new Driver(core, host, (event) => {
      this.events.push(event);
      if (event.type === 'open-relay') this.#open(core, event.relay, event.local);
      else if (event.type === 'close-relay') this.#close(event.relay);
    });
    host.onWake = () => this.driver.wake();
    this.#bind(listen);
  }

  #bind(local: TransportAddress): () => void {
    return this.#network.bind(local, (bytes, remote) => {
      const key = `${formatAddress(local)} ${formatAddress(remote)}`;
      const path = this.#paths.get(key) ?? { protocol: 'udp', local, remote };
      this.#paths.set(key, path);
      this.driver.input(bytes, path);
    });
  }

  #open(core: TurnServerCore, relay: number, local: TransportAddress): void {
    this.relays.set(relay, { local, unbind: this.#bind(local) });
    this.driver.mutate((now) => core.relayOpened(relay, local, now));
  }

  #close(relay: number): void {
    this.relays.get(relay)?.unbind();
    this.relays.delete(relay);
  }
}
