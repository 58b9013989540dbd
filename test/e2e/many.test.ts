import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK, negotiate, once, trickle, untilState } from './support.ts';

const PAIRS = 100;
const AT_ONCE = 10;

/** @returns weak references to what was closed. */
async function openAndClose(): Promise<WeakRef<object>[]> {
  const a = new RTCPeerConnection(LOOPBACK);
  const b = new RTCPeerConnection(LOOPBACK);
  trickle(a, b);
  const channel = a.createDataChannel('x');
  const announced = once(b, 'datachannel');
  await negotiate(a, b);
  await Promise.all([untilState(channel, 'open'), announced]);
  a.close();
  b.close();
  return [a, b, channel].map((object) => new WeakRef(object));
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'UDPWRAP' || kind === 'UDPSENDWRAP').length;
}

it(`${PAIRS} pairs, ${AT_ONCE} at a time: their sockets are closed and their memory can be had back`, async () => {
  const before = openSockets();
  const closed: WeakRef<object>[] = [];
  for (let i = 0; i < PAIRS; i += AT_ONCE) {
    closed.push(...(await Promise.all(Array.from({ length: AT_ONCE }, openAndClose))).flat());
  }
  expect(closed).toHaveLength(3 * PAIRS);
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  await expect
    .poll(() => {
      collectGarbage();
      return [openSockets(), closed.filter((reference) => reference.deref() !== undefined).length];
    })
    .toEqual([before, 0]);
});
