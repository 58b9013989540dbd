import { type CongestionControl, Reno } from './congestion.ts';
import type { CongestionControlName } from './types.ts';

/** Makes the controller of that name. */
export function createCongestionControl(_name: CongestionControlName, mtuBytes: number): CongestionControl {
  return new Reno(mtuBytes);
}
