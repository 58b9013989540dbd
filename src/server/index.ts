export * from './log.ts';
export * from './signaling-connection.ts';
export * from './signaling-server.ts';
export * from './stun-server.ts';
