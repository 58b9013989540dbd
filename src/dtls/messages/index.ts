export * from './certificate.ts';
export * from './hello.ts';
export * from './key-exchange.ts';
export * from './new-session-ticket.ts';
