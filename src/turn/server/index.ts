export {
  type AddressClass,
  classifyAddress,
  PeerPolicy,
  type PeerPolicyOptions,
  parseAddressRange,
} from './address-policy.ts';
export { DEFAULT_UNAUTHENTICATED_RATE } from './authenticator.ts';
export { TurnServerCore } from './core.ts';
export { type FleetOptions, MAX_TRUNK_HEADER_BYTES, type SharedQuota } from './fleet.ts';
export { makeAccessToken, type OauthKey, type OauthOptions } from './oauth.ts';
export { canonicalOrigin } from './origins.ts';
export { DEFAULT_MAX_PORT, DEFAULT_MIN_PORT } from './ports.ts';
export { makeRestCredentials, type RestCredentials } from './rest-credentials.ts';
export * from './types.ts';
