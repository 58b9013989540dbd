import { describe, expect, it } from 'vitest';
import type { FiveTuple, TransportAddress } from '../../src/core/index.ts';
import { MAX_PAIRS } from '../../src/ice/limits.ts';
import { seeds } from '../sim/index.ts';
import { address } from './harness.ts';
import { hostCandidate, LoneAgent, type Sent, udp } from './lone-agent.ts';
import { checkBytes, responseBytes } from './messages.ts';

const STEPS = 250;
const BASES = [address('10.0.0.1', 5000), address('10.0.0.2', 5000)] as const;
const SERVER = address('198.51.100.1', 3478);
const SENDERS = Array.from({ length: 30 }, (_, i) => address(`10.1.0.${1 + i}`, 6000 + i));

/**
 * A peer that has the passwords and keeps no rule: contradicting checks from anywhere, answers of every kind, candidates
 * without end, beside restarts and vanishing bases on our side. The clock of `LoneAgent` throws when a timer spins.
 */
class HostilePeer {
  readonly lone: LoneAgent;
  #introduced = false;
  #restarts = 0;

  constructor(seed: number) {
    this.lone = new LoneAgent({ role: seed % 2 === 0 ? 'controlling' : 'controlled', lite: seed % 10 === 0 }, seed);
    this.lone.do((agent, now) => {
      for (const base of BASES) agent.addHostCandidate(base, now);
      agent.addStunServer(SERVER, now);
      agent.endOfLocalCandidates(now);
    });
  }

  step(): void {
    const { random } = this.lone;
    const kind = random.below(12);
    if (kind < 4) this.#check();
    else if (kind < 8) this.#answer();
    else if (kind === 8) this.#signal();
    else if (kind === 9) this.lone.runTo(this.lone.now + random.pick([1, 50, 500, 5000, 40_000]));
    else this.#upset();
  }

  #somewhere(): FiveTuple {
    const { random } = this.lone;
    const stranger = address(`10.2.${random.below(4)}.${1 + random.below(250)}`, 1 + random.below(60_000));
    return udp(random.pick(BASES), random.chance(0.8) ? random.pick(SENDERS) : stranger);
  }

  #check(): void {
    const { random, agent } = this.lone;
    const bytes = checkBytes(random, {
      to: agent.localParameters,
      from: random.chance(0.9) ? 'peer' : 'else',
      role: random.pick(['controlling', 'controlled']),
      tieBreaker: BigInt(random.u32()) << BigInt(random.pick([0, 32])),
      priority: random.pick([0, 1, 0x7fff_ffff, 0xffff_ffff, random.u32()]),
      useCandidate: random.chance(0.5),
      ...(random.chance(0.1) && { rawType: random.pick([0x7f, 0x8fff]) }),
    });
    this.lone.input(bytes, this.#somewhere());
  }

  #answer(): void {
    const { random, peer } = this.lone;
    const asked: readonly Sent[] = this.lone.requests().slice(-8);
    if (asked.length === 0) return;
    const { message, path } = random.pick(asked);
    const mapped: TransportAddress = random.pick([
      path.local,
      address(`192.0.2.${random.below(255)}`, 9),
      address('::1', 1),
    ]);
    const bytes = responseBytes({
      transactionId: message.transactionId,
      ...(path.remote !== SERVER && { pwd: peer.pwd }),
      ...(random.chance(0.8) && { mapped }),
      ...(random.chance(0.2) && { code: random.pick([300, 400, 403, 420, 438, 487, 500] as const) }),
    });
    this.lone.input(bytes, random.chance(0.9) ? path : this.#somewhere());
  }

  #signal(): void {
    const { random, peer } = this.lone;
    this.lone.do((agent, now) => {
      if (!this.#introduced) agent.setRemoteParameters({ ...peer, lite: random.chance(0.1) }, now);
      else {
        const candidate = hostCandidate(random.pick(SENDERS), 1 + random.below(2 ** 31 - 1), String(random.below(5)));
        const name = random.chance(0.2) ? { address: `${random.below(50)}.local` } : {};
        const type = random.pick(['host', 'srflx', 'prflx', 'relay'] as const);
        agent.addRemoteCandidate({ ...candidate, ...name, type }, now);
      }
      this.#introduced = true;
    });
  }

  #upset(): void {
    const { random } = this.lone;
    this.lone.do((agent, now) => {
      switch (random.below(30)) {
        case 0:
          if (this.#restarts++ === 5) return;
          agent.restart(now);
          agent.endOfLocalCandidates(now);
          this.#introduced = false;
          return;
        case 1:
          return agent.endOfRemoteCandidates(now);
        case 2:
          return agent.removeLocalBase(random.pick(BASES), now);
        case 3:
        case 4:
          return agent.notePathClosed(this.#somewhere(), now);
        case 5:
          return agent.addResolved(`${random.below(50)}.local`, ['10.9.0.1'], now);
      }
    });
  }
}

describe('a peer with the right passwords and no manners', () => {
  it.each(seeds(100))('seed %i: nothing throws, spins, or grows past the bounds', (seed) => {
    const hostile = new HostilePeer(seed);
    const { lone } = hostile;
    for (let i = 0; i < STEPS; i++) {
      hostile.step();
      expect(lone.agent.stats().candidatePairs.length).toBeLessThanOrEqual(2 * MAX_PAIRS); // two generations
      const path = lone.agent.selectedPath;
      if (path !== undefined) expect(lone.agent.acceptsData(udp(path.local, path.remote))).toBe(true);
    }
    const sent = lone.sent.length;
    lone.runTo(lone.now + 120_000);
    expect(lone.sent.length - sent).toBeLessThan(120 * 20); // the peer is silent now: a check each Ta would be 2,400
    lone.do((agent, now) => agent.close(now));
    expect(lone.agent.nextTimeout()).toBe(Number.POSITIVE_INFINITY);
  });
});
