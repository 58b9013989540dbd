export {
  type Judge,
  judgeOf,
  type OwnCertificate,
  type PeerTrust,
  type Refusal,
  serverNameOf,
  systemAuthorities,
} from './dtls-identity.ts';
export * from './dtls-server.ts';
export * from './dtls-socket.ts';
export * from './log.ts';
export * from './signaling-connection.ts';
export * from './signaling-server.ts';
export * from './stun-server.ts';
export * from './turn-config.ts';
export type { PemCertificate } from './turn-connections.ts';
export { TURN_OPTIONS, type TurnOption } from './turn-options.ts';
export * from './turn-server.ts';
export {
  MAX_TURN_WORKERS,
  type TurnMemberStats,
  type TurnWorkerOptions,
  type TurnWorkerSource,
} from './turn-worker-messages.ts';
export type { SpawnWorker, WorkerProcess } from './turn-worker-process.ts';
export * from './turn-workers.ts';
