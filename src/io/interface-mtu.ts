import { readFileSync } from 'node:fs';

/** The MTU of a network interface, bytes, where the system tells (Linux, in sysfs); otherwise undefined. */
export function interfaceMtu(name: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(`/sys/class/net/${name}/mtu`, 'latin1');
  } catch {
    return undefined; // another system, or an interface that has just gone
  }
  const bytes = Number.parseInt(text, 10);
  return bytes > 0 ? bytes : undefined;
}
