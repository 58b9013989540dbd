import type { SimWorld } from '../sim/index.ts';
import type { Peer } from './harness.ts';

/** Restarts both sides, as an offer and an answer would; the description takes `delayMs` each way. */
export function restartBoth(world: SimWorld, first: Peer, second: Peer, delayMs = 30): void {
  first.candidates.length = 0;
  second.candidates.length = 0;
  first.driver.mutate((now) => {
    first.agent.restart(now);
    first.agent.endOfLocalCandidates(now);
  });
  const { localParameters } = first.agent;
  const offered = [...first.candidates];
  world.schedule(world.now + delayMs, () => {
    second.driver.mutate((now) => {
      second.agent.restart(now);
      second.agent.setRemoteParameters(localParameters, now);
      for (const candidate of offered) second.agent.addRemoteCandidate(candidate, now);
      second.agent.endOfRemoteCandidates(now);
      second.agent.endOfLocalCandidates(now);
    });
    const answer = second.agent.localParameters;
    const answered = [...second.candidates];
    world.schedule(world.now + delayMs, () =>
      first.driver.mutate((now) => {
        first.agent.setRemoteParameters(answer, now);
        for (const candidate of answered) first.agent.addRemoteCandidate(candidate, now);
        first.agent.endOfRemoteCandidates(now);
      }),
    );
  });
}
