export * from './channels.ts';
export * from './types.ts';
