export * from './association.ts';
export type { SchedulerName } from './scheduler.ts';
export * from './types.ts';
