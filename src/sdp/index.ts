export * from './attributes.ts';
export * from './error.ts';
export * from './model.ts';
export * from './offer-answer.ts';
export * from './parse.ts';
export * from './transport.ts';
export * from './write.ts';
