import { describe, expect, it } from 'vitest';
import { connect, twoPeers } from './harness.ts';
import { LoneAgent, udp } from './lone-agent.ts';

describe('statistics (W3C names)', () => {
  it('count checks, answers, consent, data and round trips of the selected pair', () => {
    const peers = twoPeers(1, { latencyMs: 20 });
    connect(peers);
    const { world, a, b } = peers;
    world.run({ until: 30_000 });
    a.agent.noteDataSent(a.agent.selectedPath!, 1200, world.now);
    a.agent.noteDataSent(a.agent.selectedPath!, 800, world.now);
    a.agent.noteDataReceived(a.agent.selectedPath!, 100, world.now);
    const stats = a.agent.stats();
    const other = b.agent.stats();
    const pair = stats.candidatePairs[0]!;
    expect(pair).toMatchObject({
      id: stats.selectedCandidatePairId,
      type: 'candidate-pair',
      state: 'succeeded',
      nominated: true,
      bytesSent: 2000,
      packetsSent: 2,
      bytesReceived: 100,
      packetsReceived: 1,
      lastPacketSentTimestamp: 30_000,
      lastPacketReceivedTimestamp: 30_000,
      currentRoundTripTime: 0.04,
    });
    expect(pair.requestsSent).toBe(2); // the check and the nomination
    expect(pair.consentRequestsSent).toBeGreaterThanOrEqual(4);
    expect(pair.responsesReceived).toBe(pair.requestsSent + pair.consentRequestsSent);
    expect(pair.totalRoundTripTime).toBeCloseTo(0.04 * pair.responsesReceived, 6);
    const far = other.candidatePairs[0]!;
    expect(far.requestsReceived).toBe(pair.requestsSent + pair.consentRequestsSent);
    expect(far.responsesSent).toBe(far.requestsReceived);
    expect(
      stats.candidates.map(({ id, type, candidateType, address, port }) => [id, type, candidateType, address, port]),
    ).toEqual([
      [pair.localCandidateId, 'local-candidate', 'host', '10.0.0.1', 5000],
      [pair.remoteCandidateId, 'remote-candidate', 'host', '10.0.0.2', 6000],
    ]);
    expect(stats).toMatchObject({ iceRole: 'controlling', iceState: 'completed', selectedCandidatePairChanges: 1 });
    expect(stats.iceLocalUsernameFragment).toBe(a.agent.localParameters.ufrag);
  });

  it('ignore data of unknown paths, and a closed agent still answers', () => {
    const lone = new LoneAgent();
    const nowhere = udp({ ip: '10.0.0.1', port: 1 }, { ip: '10.0.0.2', port: 2 });
    lone.agent.noteDataSent(nowhere, 10);
    lone.agent.noteDataReceived(nowhere, 10);
    lone.do((agent, now) => agent.close(now));
    lone.do((agent, now) => agent.close(now));
    expect(lone.agent.stats()).toMatchObject({
      iceState: 'closed',
      candidatePairs: [],
      selectedCandidatePairId: undefined,
    });
    lone.input(Uint8Array.of(1, 2, 3), nowhere);
    expect(lone.agent.drops.toJSON()).toEqual({ closed: 1 });
    expect(() => lone.do((agent, now) => agent.addHostCandidate({ ip: '10.0.0.1', port: 1 }, now))).toThrow(/closed/);
  });

  it('no secret reaches the trace', () => {
    const lone = new LoneAgent();
    lone.start([{ ip: '10.0.0.2', port: 6000 }]);
    lone.runTo(60_000);
    const text = lone.log.join('\n');
    expect(text).toContain('checking -> failed');
    for (const secret of [lone.agent.localParameters.pwd, lone.peer.pwd]) expect(text).not.toContain(secret);
  });
});
