/** Responses of this server: two relayed addresses of IPv6, SOFTWARE of 763 bytes and SHA-256 integrity fit. */
export const MAX_RESPONSE_BYTES = 2048;
