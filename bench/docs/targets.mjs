/** The targets that the project has set itself, each as one line: what is wanted, what was measured, whether it is met. */
import { formatNumber } from '../report.mjs';
import { NATIVE, sizeName, sizesOf, throughputAt } from './results.mjs';

const BARE = 'throughput of bare datagrams of 1,200 bytes, MB/s';
const PING = 'ping-pong of 32 bytes';
const SMALL_BYTES = 1024;

/** @returns `[{title, lines: [{what, wanted, measured, met}]}]`; `met` is undefined where a figure is missing. */
export function judgeTargets(results) {
  return [
    { title: '1. Throughput, datagrams of 1,200 bytes', lines: throughput(results) },
    { title: '2. With path-MTU discovery', lines: pathMtu(results) },
    { title: '3. Portable: the noble backend alone, ChaCha20-Poly1305', lines: portable(results) },
    { title: '4. Mixed with Chromium', lines: mixed(results) },
    { title: '5. Latency', lines: latency(results) },
    { title: '6. Time to open', lines: opening(results) },
    { title: '7. Memory', lines: memory(results) },
    { title: '8. Distance and loss', lines: distance(results) },
    { title: '9. TURN and STUN', lines: relay(results) },
  ].filter(({ lines }) => lines.length > 0);
}

function atLeast(what, wanted, measured, unit = '') {
  return line(what, `at least ${wanted}${unit}`, measured, unit, (value) => value >= wanted);
}

function atMost(what, wanted, measured, unit = '') {
  return line(what, `at most ${wanted}${unit}`, measured, unit, (value) => value <= wanted);
}

function line(what, wanted, measured, unit, isMet) {
  if (measured === undefined || Number.isNaN(measured))
    return { what, wanted, measured: 'not measured', met: undefined };
  // A subject that moves nothing at all is as far behind as one likes.
  const text = measured === Number.POSITIVE_INFINITY ? 'the other moves nothing' : `${formatNumber(measured)}${unit}`;
  return { what, wanted, measured: text, met: isMet(measured) };
}

const times = ' times';

function againstNative(results, subject, figure, wanted, suite = 'channels') {
  const fastest = results.best(suite, figure, NATIVE) ?? 'the fastest native stack';
  return [wanted, results.ratio(suite, [figure, subject], [figure, fastest]), fastest];
}

function throughput(results) {
  const weriftFails = (figure) => results.failure('channels', figure, 'werift') !== undefined;
  return sizesOf(results).flatMap((size) => {
    const figure = throughputAt(size);
    const small = size <= SMALL_BYTES;
    const [wanted, ratio, fastest] = againstNative(results, 'purertc-1200', figure, small ? 1 : 1.2);
    const over = (subject) => results.ratio('channels', [figure, 'purertc-1200'], [figure, subject]);
    return [
      atLeast(`${sizeName(size)}: over ${fastest}, the fastest native stack`, wanted, ratio, times),
      ...(small ? [atLeast(`${sizeName(size)}: over node-datachannel`, 1.2, over('node-datachannel'), times)] : []),
      ...(small
        ? []
        : [
            atLeast(
              `${sizeName(size)}: over the bytes of the bare socket`,
              0.4,
              results.ratio('channels', [figure, 'purertc-1200'], [BARE, 'bare-socket']),
              times,
            ),
          ]),
      atLeast(
        `${sizeName(size)}: over werift`,
        10,
        weriftFails(figure) ? Number.POSITIVE_INFINITY : over('werift'),
        times,
      ),
    ];
  });
}

function pathMtu(results) {
  const loopback = sizesOf(results).map((size) => {
    const [wanted, ratio, fastest] = againstNative(results, 'purertc', throughputAt(size), 3);
    return atLeast(`loopback, ${sizeName(size)}: over ${fastest}`, wanted, ratio, times);
  });
  const jumbo = results
    .figures('jumbo')
    .filter((figure) => figure.includes('messages'))
    .map((figure) => {
      const [wanted, ratio, fastest] = againstNative(results, 'purertc', figure, 1, 'jumbo');
      return atLeast(`${figure.replace(', MB/s', '')}: over ${fastest}`, wanted, ratio, times);
    });
  return [...loopback, ...jumbo];
}

function portable(results) {
  const figure = throughputAt(16_384);
  return ['purertc-noble', 'purertc-noble-1200']
    .filter((name) => results.subjects('channels').includes(name))
    .map((name) =>
      atLeast(`16 KiB: ${name} over werift`, 3, results.ratio('channels', [figure, name], [figure, 'werift']), times),
    );
}

function mixed(results) {
  if (!results.subjects('channels').includes('chromium')) return [];
  return ['purertc-to-chromium', 'chromium-to-purertc'].flatMap((name) =>
    sizesOf(results).map((size) => {
      const figure = throughputAt(size);
      const ratio = results.ratio('channels', [figure, name], [figure, 'chromium']);
      return atLeast(`${name}, ${sizeName(size)}: over Chromium with itself`, 1, ratio, times);
    }),
  );
}

function latency(results) {
  const p50 = `${PING}, p50, µs`;
  return [
    atMost(
      'ping-pong of 32 bytes, p50: over a bare socket echo',
      1.6,
      results.ratio('channels', [p50, 'purertc'], [p50, 'bare-socket']),
      times,
    ),
    atMost('ping-pong of 32 bytes, p99', 400, results.median('channels', `${PING}, p99, µs`, 'purertc'), ' µs'),
  ];
}

function opening(results) {
  const open = (q) => results.median('channels', `time to open, ${q}, ms`, 'purertc');
  const many = (figure) => results.median('connections', figure, 'purertc');
  return [
    atMost('two processes, p50', 3, open('p50'), ' ms'),
    atMost('two processes, p90', 5, open('p90'), ' ms'),
    atLeast('connections a second, 20 at once, one process', 200, many('connections opened a second, 20 at once')),
    atMost('processor time of a pair', 4, many('processor time to open a pair, ms'), ' ms'),
  ];
}

function memory(results) {
  const held = (figure) => results.median('connections', figure, 'purertc');
  const peaks = results.figures('memory').map((figure) => results.median('memory', figure, 'purertc'));
  const growth = peaks.length > 1 ? peaks.at(-1) - peaks[0] : undefined;
  return [
    atMost(
      'resident memory of an idle pair, 1,000 in one process',
      250,
      held('resident memory per pair with 1000, kB'),
      ' kB',
    ),
    atMost(
      'idle processor time of 1,000 connections with consent checks (half of 1,000 pairs)',
      5,
      half(held('idle processor time of 1000 pairs, % of one')),
      ' %',
    ),
    // The receive window grows to 32 MiB; what lies in it may be as much again in the heap until it is collected.
    atMost('growth of the receiver under a sender that never stops', 64, growth, ' MB'),
  ];
}

const half = (value) => (value === undefined ? undefined : value / 2);

const WANTED_MB_PER_S = {
  '20 ms, 0 % loss': 35,
  '20 ms, 1 % loss': 8,
  '20 ms, 5 % loss': 1.8,
  '100 ms, 0 % loss': 12,
  '100 ms, 1 % loss': 2,
  '100 ms, 5 % loss': 0.3,
};

function distance(results) {
  const links = Object.entries(WANTED_MB_PER_S).filter(([link]) =>
    results.figures('distance').includes(`${link}: MB/s`),
  );
  const lines = links.flatMap(([link, wanted]) => {
    const figure = `${link}: MB/s`;
    const best = results.best('distance', figure, results.peers('distance'));
    const ratio = results.ratio('distance', [figure, 'purertc'], [figure, best]);
    return [
      atLeast(link, wanted, results.median('distance', figure, 'purertc'), ' MB/s'),
      atLeast(`${link}: over ${best ?? 'the best peer'}, the best peer`, 1, ratio, times),
    ];
  });
  const filled = results.figures('distance').filter((figure) => figure.endsWith('share of the link filled, %'));
  return [
    ...lines,
    ...filled.map((figure) =>
      atLeast(figure.replace(', %', ''), 90, results.median('distance', figure, 'purertc'), ' %'),
    ),
  ];
}

function relay(results) {
  if (results.figures('relay').length === 0) return [];
  const over = (figure) => results.ratio('relay', [figure, 'purertc'], [figure, 'coturn']);
  const perMessage = results.figures('relay').find((figure) => figure === 'CPU for a message of 1200 bytes, µs');
  const cost = perMessage === undefined ? undefined : over(perMessage);
  return [
    atLeast('bindings a second: over coturn', 0.5, over('bindings a second'), times),
    atLeast('allocations a second: over coturn', 0.5, over('allocations a second'), times),
    atLeast('relayed messages per core: over coturn', 0.6, cost === undefined ? undefined : 1 / cost, times),
    atMost('processor time of a relayed message: over coturn', 1.5, cost, times),
  ];
}
