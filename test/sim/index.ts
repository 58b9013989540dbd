export * from './env.ts';
export * from './link.ts';
export * from './network.ts';
export * from './pair.ts';
export * from './random.ts';
export * from './world.ts';
