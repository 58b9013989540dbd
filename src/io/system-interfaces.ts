import { networkInterfaces } from 'node:os';

/** Android tells programs nothing and makes Node throw: without a list there are candidates of servers only. */
export function systemInterfaces(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces();
  } catch {
    return {};
  }
}
