import {
  createTransmitSlot,
  type FiveTuple,
  type Instant,
  lineTrace,
  resetTransmitSlot,
  type TransportAddress,
} from '../../src/core/index.ts';
import {
  IceAgent,
  type IceAgentOptions,
  type IceCandidate,
  type IceEvent,
  type IceParameters,
} from '../../src/ice/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import { decodeStun, type StunMessage } from '../../src/stun/index.ts';
import { type SeededRandom, SimWorld, simEnv } from '../sim/index.ts';

export interface Sent {
  readonly at: Instant;
  readonly path: FiveTuple;
  readonly bytes: Uint8Array;
  readonly message: StunMessage;
}

/** One agent without a network: the test sees each datagram with its time, and plays the peer by hand. */
export class LoneAgent {
  readonly agent: IceAgent;
  readonly sent: Sent[] = [];
  readonly events: IceEvent[] = [];
  readonly log: string[] = [];
  readonly random: SeededRandom;
  readonly peer: IceParameters = { ufrag: 'peer', pwd: 'the-password-of-the-peer'.replaceAll('-', '+') };
  now: Instant = 0;
  readonly #slot = createTransmitSlot<FiveTuple>(2000);

  constructor(options: Partial<IceAgentOptions> = {}, seed = 1) {
    const world = new SimWorld(seed);
    this.random = world.random.fork();
    const env = simEnv(
      world,
      nodeCrypto,
      lineTrace((line) => this.log.push(line)),
    );
    this.agent = new IceAgent({ env, role: 'controlling', ...options });
  }

  /** Runs a command now and drains. */
  do<T>(command: (agent: IceAgent, now: Instant) => T): T {
    const result = command(this.agent, this.now);
    this.drain();
    return result;
  }

  input(bytes: Uint8Array, path: FiveTuple): void {
    this.agent.handleInput(bytes, path, this.now);
    this.drain();
  }

  /** Moves time on, firing every timer at its deadline. */
  runTo(until: Instant): void {
    let wakes = 0;
    for (let at = this.agent.nextTimeout(); at <= until; at = this.agent.nextTimeout()) {
      wakes = at > this.now ? 0 : wakes + 1;
      if (wakes > 100) throw new Error(`the timer at ${at} fires again and again at ${this.now}`);
      this.now = Math.max(this.now, at);
      this.agent.handleTimeout(this.now);
      this.drain();
    }
    this.now = until;
  }

  drain(): void {
    for (;;) {
      resetTransmitSlot(this.#slot);
      while (this.agent.pollTransmit(this.#slot, this.now)) {
        const bytes = this.#slot.buffer.slice(this.#slot.offset, this.#slot.offset + this.#slot.length);
        const { path } = this.#slot;
        if (path === undefined) throw new Error('a datagram without a path');
        this.sent.push({ at: this.now, path, bytes, message: decodeStun(bytes) });
        resetTransmitSlot(this.#slot);
      }
      const event = this.agent.pollEvent();
      if (event === undefined) return;
      this.events.push(event);
    }
  }

  requests(): Sent[] {
    return this.sent.filter((datagram) => datagram.message.messageClass === 'request');
  }

  lastRequest(): Sent {
    const last = this.requests().at(-1);
    if (last === undefined) throw new Error('no request was sent');
    return last;
  }

  /** The usual start: one host base, the peer's credentials, and its candidates. */
  start(
    remotes: readonly TransportAddress[],
    base: TransportAddress = { ip: '10.0.0.1', port: 5000 },
    pacingMs?: number,
  ): void {
    this.do((agent, now) => {
      agent.addHostCandidate(base, now);
      agent.endOfLocalCandidates(now);
      agent.setRemoteParameters({ ...this.peer, pacingMs }, now);
      remotes.forEach((remote, i) => {
        agent.addRemoteCandidate(hostCandidate(remote, 2_130_706_431 - 256 * i, String(i + 1)), now);
      });
    });
  }
}

export function hostCandidate(at: TransportAddress, priority = 2_130_706_431, foundation = '1'): IceCandidate {
  return {
    foundation,
    component: 1,
    protocol: 'udp',
    priority,
    address: at.ip,
    port: at.port,
    type: 'host',
  };
}

export function udp(local: TransportAddress, remote: TransportAddress): FiveTuple {
  return { protocol: 'udp', local, remote };
}
