import type { IceCandidate, LocalCandidate, RemoteCandidate } from './candidate.ts';
import type { IceSession } from './session.ts';
import type { IceCandidateStats, IceConnectionState, IceRole, IceStats } from './types.ts';

function candidateStats(id: number, side: 'local' | 'remote', c: IceCandidate): IceCandidateStats {
  return {
    id: `${side}-${id}`,
    type: `${side}-candidate`,
    address: c.address,
    port: c.port,
    protocol: c.protocol,
    candidateType: c.type,
    priority: c.priority,
    foundation: c.foundation,
    usernameFragment: c.usernameFragment,
    relatedAddress: c.relatedAddress,
    relatedPort: c.relatedPort,
    tcpType: c.tcpType,
    url: c.url,
    relayProtocol: c.relayProtocol,
  };
}

/** The W3C view of one agent (webrtc-stats §8.11, §8.13, §8.14). During a restart the pair in use may be the old one. */
export function collectStats(
  sessions: readonly IceSession[],
  facts: {
    readonly role: IceRole;
    readonly state: IceConnectionState;
    readonly selectedChanges: number;
    readonly selectedPairId: number | undefined;
  },
): IceStats {
  const locals = new Map<number, LocalCandidate>();
  const remotes = new Map<number, RemoteCandidate>();
  for (const session of sessions) {
    for (const local of session.book.locals) locals.set(local.id, local);
    for (const remote of session.book.remotes) remotes.set(remote.id, remote);
    for (const pair of session.checklist.pairs)
      locals.set((pair.validLocal ?? pair.local).id, pair.validLocal ?? pair.local);
  }
  return {
    candidates: [
      ...[...locals.values()].map((local) => candidateStats(local.id, 'local', local.candidate)),
      ...[...remotes.values()].map((remote) => candidateStats(remote.id, 'remote', remote.candidate)),
    ],
    candidatePairs: sessions.flatMap((session) => session.checklist.pairs.map((pair) => pair.stats())),
    selectedCandidatePairId: facts.selectedPairId === undefined ? undefined : `pair-${facts.selectedPairId}`,
    selectedCandidatePairChanges: facts.selectedChanges,
    iceRole: facts.role,
    iceState: facts.state,
    iceLocalUsernameFragment: sessions[0]?.local.ufrag ?? '',
  };
}
