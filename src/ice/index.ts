export { IceAgent } from './agent.ts';
export type {
  IceCandidate,
  IceCandidateType,
  IceTcpType,
  IceTransport,
} from './candidate.ts';
export { candidatePriority, TYPE_PREFERENCE } from './candidate.ts';
export { formatCandidate, MAX_CANDIDATE_EXTENSIONS, MAX_CANDIDATE_TEXT, parseCandidate } from './candidate-text.ts';
export { DatagramDeframer, frameDatagram } from './framing.ts';
export * from './limits.ts';
export { IceMux, type MuxOwner, type UnknownUfragListener } from './mux.ts';
export type * from './types.ts';
