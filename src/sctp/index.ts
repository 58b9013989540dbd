export * from './association.ts';
export { DEFAULT_MTU_BYTES } from './limits.ts';
export type { SchedulerName } from './scheduler.ts';
export * from './types.ts';
