export * from './attributes.ts';
export * from './candidate-lines.ts';
export * from './error.ts';
export { usesRtcpMux } from './jsep-checks.ts';
export * from './jsep-create.ts';
export * from './jsep-session.ts';
export * from './jsep-state.ts';
export * from './media-attributes.ts';
export * from './model.ts';
export * from './offer-answer.ts';
export * from './parse.ts';
export {
  DEFAULT_SCTP_PORT,
  type LocalOrigin,
  type LocalTransport,
  OFFERED_MAX_MESSAGE_SIZE,
} from './sections.ts';
export * from './transport.ts';
export * from './write.ts';
