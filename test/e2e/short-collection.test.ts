import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { LOOPBACK, negotiate, once, trickle, untilState } from './support.ts';

/** Until code is compiled and tables have grown. */
const WARM_UP = 60;
const PAIRS = 40;
/** Bytes of JavaScript heap. A pair allocates some 700 kB, of which 30 kB stay; one closure in the wrong place makes that 130. */
const MOST_LEFT_PER_PAIR = 80_000;

async function openAndClose(): Promise<void> {
  const [a, b] = [new RTCPeerConnection(LOOPBACK), new RTCPeerConnection(LOOPBACK)];
  trickle(a, b);
  const channel = a.createDataChannel('x');
  const open = once(channel, 'open');
  // In a variable, and of no scope that knows the pair: V8 keeps a function that is assigned to a property for long.
  const ignore = makeIgnore();
  a.onconnectionstatechange = ignore;
  b.oniceconnectionstatechange = ignore;
  const announced = once<Event & { readonly channel: typeof channel }>(b, 'datachannel');
  await negotiate(a, b);
  await open;
  await untilState((await announced).channel, 'open');
  a.close();
  b.close();
}

function makeIgnore(): () => void {
  return () => undefined;
}

it('a closed pair is given back by short collections, without waiting for a full one', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options?: { readonly type: 'minor' }) => void;
  for (let i = 0; i < WARM_UP; i++) await openAndClose();
  collect();
  const before = getHeapStatistics().used_heap_size;
  for (let i = 0; i < PAIRS; i++) await openAndClose();
  collect({ type: 'minor' });
  collect({ type: 'minor' });
  const left = (getHeapStatistics().used_heap_size - before) / PAIRS;
  expect(left).toBeLessThan(MOST_LEFT_PER_PAIR);
});
