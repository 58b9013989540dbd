export * from './channel-data.ts';
export { SEND_INDICATION_HEADROOM, TurnClient } from './client.ts';
export * from './client-types.ts';
export * from './limits.ts';
