export { ALERT_CODES, type AlertDescription, type AlertLevel } from './alert.ts';
export type { DtlsConnectionId } from './association.ts';
export { DtlsClient } from './client.ts';
export { COOKIE_ROTATION_MS, CookieJar } from './cookie.ts';
export {
  DtlsListener,
  type DtlsListenerEvent,
  type DtlsListenerOptions,
} from './listener.ts';
export { OnPath } from './on-path.ts';
export { CIPHER_SUITES, type CipherSuite, type CipherSuiteName } from './registry.ts';
export { DtlsServer } from './server.ts';
export {
  DEFAULT_SESSION_LIFETIME_S,
  type DtlsSession,
  MemorySessionCache,
  type SessionCache,
  TicketKeys,
} from './session.ts';
export type {
  DtlsCertificate,
  DtlsClientOptions,
  DtlsEndpoint,
  DtlsEvent,
  DtlsFailure,
  DtlsOptions,
  DtlsServerOptions,
  DtlsState,
  Negotiated,
  PskCredential,
} from './types.ts';
