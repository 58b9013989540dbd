import {
  type FiveTuple,
  formatAddress,
  type Instant,
  type SansIo,
  type TransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import { IceAgent, type IceAgentOptions, type IceCandidate, type IceEvent } from '../../src/ice/index.ts';
import { methodOfType, STUN_METHODS } from '../../src/stun/index.ts';
import { isChannelData, TurnClient, type TurnClientOptions } from '../../src/turn/index.ts';

/**
 * An ICE agent whose relayed candidate is a TURN allocation, on one socket: the glue between the two modules, as small as
 * it is. What the agent sends from the relayed address is wrapped by the TURN client, what the TURN client receives is
 * the agent's on a path from there.
 */
export class RelayingAgent implements SansIo<IceEvent, FiveTuple> {
  readonly ice: IceAgent;
  readonly turn: TurnClient;
  readonly #mapped: TransportAddress;
  /** One path object for each peer of the relayed address. */
  readonly #paths = new Map<string, FiveTuple>();

  constructor(ice: IceAgentOptions, turn: TurnClientOptions) {
    this.ice = new IceAgent(ice);
    this.turn = new TurnClient(turn);
    this.#mapped = turn.path.local;
  }

  gather(now: Instant): void {
    this.ice.addHostCandidate(this.turn.path.local, now);
    this.turn.allocate(now);
  }

  /** A permission for each remote candidate, so that the peer's checks come in before ours go out. */
  addRemoteCandidate(candidate: IceCandidate, now: Instant): void {
    if (this.turn.state === 'allocated' && !candidate.address.includes(':')) {
      this.turn.createPermission({ ip: candidate.address, port: candidate.port }, now);
    }
    this.ice.addRemoteCandidate(candidate, now);
  }

  sendData(bytes: Uint8Array, now: Instant): boolean {
    const path = this.ice.selectedPath;
    if (path === undefined || !this.#isRelayed(path.local)) return false;
    this.turn.bindChannel(path.remote, now);
    this.turn.send(path.remote, bytes, now);
    return true;
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (isForTurn(bytes)) this.turn.handleInput(bytes, path, now);
    else this.ice.handleInput(bytes, path, now);
    this.#pump(now);
  }

  handleTimeout(now: Instant): void {
    this.turn.handleTimeout(now);
    this.ice.handleTimeout(now);
    this.#pump(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>, now: Instant): boolean {
    const { offset } = slot;
    while (this.ice.pollTransmit(slot, now)) {
      const { path } = slot;
      if (path === undefined || !this.#isRelayed(path.local)) return true;
      if (this.turn.wrapInPlace(slot, path.remote)) return true;
      this.turn.send(path.remote, slot.buffer.subarray(slot.offset, slot.offset + slot.length), now);
      slot.offset = offset;
    }
    return this.turn.pollTransmit(slot);
  }

  pollEvent(): IceEvent | undefined {
    return this.ice.pollEvent();
  }

  nextTimeout(): Instant {
    return Math.min(this.ice.nextTimeout(), this.turn.nextTimeout());
  }

  #pump(now: Instant): void {
    for (let event = this.turn.pollEvent(); event !== undefined; event = this.turn.pollEvent()) {
      if (event.type === 'allocated') {
        for (const relayed of event.relayed) this.ice.addRelayedCandidate(relayed, this.#mapped, {}, now);
        this.ice.endOfLocalCandidates(now);
      } else if (event.type === 'data') {
        this.ice.handleInput(event.bytes, this.#pathTo(event.peer), now);
      } else if (event.type === 'failed') {
        this.ice.endOfLocalCandidates(now);
      }
    }
  }

  #isRelayed(address: TransportAddress): boolean {
    return this.turn.relayedAddresses.some(({ ip, port }) => ip === address.ip && port === address.port);
  }

  #pathTo(remote: TransportAddress): FiveTuple {
    const key = formatAddress(remote);
    let path = this.#paths.get(key);
    if (path === undefined) {
      path = { protocol: 'udp', local: this.turn.relayedAddresses[0]!, remote };
      this.#paths.set(key, path);
    }
    return path;
  }
}

/** ChannelData and every STUN method but Binding: the agent and the client share a socket, and even a server. */
function isForTurn(bytes: Uint8Array): boolean {
  if (bytes.length < 2) return false;
  return isChannelData(bytes[0]!) || methodOfType((bytes[0]! << 8) | bytes[1]!) !== STUN_METHODS.Binding;
}
