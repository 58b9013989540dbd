import { type CongestionControl, Reno } from './congestion.ts';
import { Cubic } from './cubic.ts';
import type { CongestionControlName } from './types.ts';

/** Makes the controller of that name. */
export function createCongestionControl(name: CongestionControlName, mtuBytes: number): CongestionControl {
  return name === 'reno' ? new Reno(mtuBytes) : new Cubic(mtuBytes);
}
