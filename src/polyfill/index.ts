/**
 * Installs the W3C classes on `globalThis`, as a browser has them: `import 'purertc/polyfill'` before a program that
 * expects `RTCPeerConnection` and the others to be there. Classes that the runtime has already are left alone.
 */
import * as purertc from '../index.ts';

for (const [name, value] of Object.entries(purertc)) {
  if (!name.startsWith('RTC') || name in globalThis) continue;
  // As Web IDL installs interface objects: writable, configurable, not enumerable.
  Object.defineProperty(globalThis, name, { configurable: true, writable: true, value });
}
