export * from './constant-time.ts';
export * from './noble.ts';
export * from './prf.ts';
