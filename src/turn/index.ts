export * from './channel-data.ts';
export { MAX_SEND_BYTES, SEND_INDICATION_HEADROOM, TurnClient } from './client.ts';
export * from './client-types.ts';
export * from './data-connection.ts';
export * from './limits.ts';
export * from './server/index.ts';
