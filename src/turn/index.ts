export * from './channel-data.ts';
export { SEND_INDICATION_HEADROOM, TurnClient } from './client.ts';
export * from './client-types.ts';
export * from './data-connection.ts';
export * from './limits.ts';
export * from './server/index.ts';
