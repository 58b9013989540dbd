/** Responses of this server: two relayed addresses of IPv6, SOFTWARE of 763 bytes and SHA-256 integrity fit. */
export const MAX_RESPONSE_BYTES = 2048;

/** TCP connections to peers of one allocation, waiting ones counted (RFC 6062); more are 508. */
export const MAX_PEER_CONNECTIONS = 64;
