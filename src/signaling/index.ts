export * from './client.ts';
export {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
  isLabel,
} from './codec.ts';
export * from './limits.ts';
export * from './messages.ts';
export { type ConnectionId, SignalingServer, type SignalingServerEvent } from './server.ts';
