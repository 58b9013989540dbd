export * from './channels.ts';
export * from './dcep.ts';
export * from './ppid.ts';
export { MAX_STREAM_ID } from './stream-ids.ts';
export * from './types.ts';
