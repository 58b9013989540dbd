import { canonicalIp } from '../core/index.ts';

/** The IP address of a TCP socket in canonical text, without a zone; `0.0.0.0` for one that is gone already. */
export function socketIp(address: string | undefined): string {
  return canonicalIp((address ?? '').replace(/%.*$/, '')) ?? '0.0.0.0';
}
