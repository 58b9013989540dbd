import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  createDataAnswer,
  parseSdp,
  readTransportDescription,
  SdpError,
  type SessionDescription,
  writeSdp,
} from '../../src/sdp/index.ts';
import { checkAnswer } from '../../src/sdp/jsep-checks.ts';
import { SeededRandom } from '../sim/random.ts';
import { LOCAL } from './local.ts';
import { VECTORS } from './vectors.ts';

/** PURERTC_SDP_MUTATIONS=200000 runs as many as the acceptance wants; the default keeps `npm test` short. */
const MUTATIONS = Number(process.env['PURERTC_SDP_MUTATIONS'] ?? 12_000);

/** As `toEqual`, at a tenth of its cost where all is well. */
function expectEqual(actual: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(actual, expected)) expect(actual).toEqual(expected);
}

/** Whatever the text: a typed error that names a line, or a value that round-trips and can be answered. */
function readOrRefuse(text: string): 'read' | 'refused' {
  let model: SessionDescription;
  try {
    model = parseSdp(text);
  } catch (error) {
    if (!(error instanceof SdpError)) throw error;
    const lines = text.split(/\r\n|\r|\n/).length;
    if (error.line < 1 || error.line > lines) throw new Error(`line ${error.line} of ${lines}`, { cause: error });
    return 'refused';
  }
  const written = writeSdp(model);
  expectEqual(parseSdp(written), model);
  for (const media of model.media) readTransportDescription(media, model);
  try {
    for (const bundlePolicy of ['balanced', 'max-bundle'] as const) {
      const answer = createDataAnswer(model, { ...LOCAL, bundlePolicy });
      expectEqual(parseSdp(writeSdp(answer)), answer);
      checkAnswer(model, answer);
    }
  } catch (error) {
    if (!(error instanceof SdpError)) throw error; // a=setup:holdconn
  }
  return 'read';
}

function mutate(text: string, random: SeededRandom): string {
  const lines = text.split('\r\n');
  for (let n = 1 + random.below(3); n > 0; n--) {
    const at = random.below(lines.length);
    const line = lines[at] ?? '';
    const cut = random.below(line.length + 1);
    switch (random.below(9)) {
      case 0:
        lines.splice(at, 1);
        break;
      case 1:
        lines.splice(at, 0, line);
        break;
      case 2:
        lines[at] = line.slice(0, cut);
        break;
      case 3:
        lines[at] =
          line.slice(0, cut) + String.fromCharCode(random.below(random.pick([32, 128, 65_536]))) + line.slice(cut + 1);
        break;
      case 4:
        lines[at] =
          line.slice(0, cut) +
          random.pick([' ', '  ', ':', '=', '/', '\t', '-', '0', '99999999999', '\n', 'a=']) +
          line.slice(cut);
        break;
      case 5:
        lines[at] = lines[random.below(lines.length)] ?? '';
        break;
      case 6: {
        const other = random.below(lines.length);
        lines[at] = lines[other] ?? '';
        lines[other] = line;
        break;
      }
      case 7:
        lines[at] = line.slice(0, cut) + line.slice(random.below(line.length + 1));
        break;
      default:
        lines[at] = `${random.pick(['a', 'b', 'c', 'm', 'o', 't', 'r', 'z', 'k', 'i', 'v'])}${line.slice(1)}`;
    }
  }
  return lines.join(random.pick(['\r\n', '\r\n', '\n']));
}

it(
  `${MUTATIONS} mutated descriptions: an SdpError that names the line, or a value that round-trips`,
  () => {
    const random = new SeededRandom(20_260_101);
    const outcomes = { read: 0, refused: 0 };
    for (let i = 0; i < MUTATIONS; i++) {
      const seed = random.u32();
      const text = mutate(random.pick(VECTORS).sdp, new SeededRandom(seed));
      try {
        outcomes[readOrRefuse(text)]++;
      } catch (error) {
        throw new Error(`mutation ${i} (seed ${seed}): ${JSON.stringify(text)}`, { cause: error });
      }
    }
    expect(outcomes.read).toBeGreaterThan(MUTATIONS / 5);
    expect(outcomes.refused).toBeGreaterThan(MUTATIONS / 5);
  },
  60_000 + MUTATIONS,
);

it('any text: an SdpError that names the line, or a value that round-trips', () => {
  const line = fc
    .tuple(fc.constantFrom(...'vosiuepcbtrzkam'), fc.string({ unit: 'binary' }))
    .map(([type, rest]) => `${type}=${rest}`);
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(line).map((lines) => ['v=0', ...lines].join('\r\n')),
  );
  fc.assert(
    fc.property(text, (sdp) => void readOrRefuse(sdp)),
    { numRuns: 2_000 },
  );
});

it('any model that can be written reads back equal', () => {
  const chars = (alphabet: string, min = 1, max = 12) =>
    fc.array(fc.constantFrom(...alphabet), { minLength: min, maxLength: max }).map((c) => c.join(''));
  const token = chars("abzAZ09!#$%&'*+-.^_`{|}~");
  const digits = chars('0123456789', 1, 18);
  const visible = chars('aZ09.:/@ü👋'.replace('👋', ''));
  const text = chars('aZ0 \t:=ü', 0, 20).map((t) => `x${t}`);
  const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
  const connection = fc.record({ netType: token, addrType: token, address: visible });
  const bandwidths = fc.array(fc.record({ type: token, value: fc.maxSafeNat() }), { maxLength: 2 });
  const typedTime = fc.tuple(digits, fc.constantFrom('', 'd', 'h', 'm', 's')).map(([d, u]) => d + u);
  const times = fc.array(
    fc
      .record({
        start: digits,
        stop: digits,
        repeats: fc.array(
          fc.record({
            interval: typedTime,
            duration: typedTime,
            offsets: fc.array(typedTime, { minLength: 1, maxLength: 3 }),
          }),
          { maxLength: 2 },
        ),
        zones: fc.array(fc.record({ time: digits, offset: typedTime }), { maxLength: 2 }),
      })
      .map((t) => (t.repeats.length === 0 ? { ...t, zones: [] } : t)),
    { minLength: 1, maxLength: 3 },
  );
  // Names that no check knows: those have tests of their own.
  const attributes = fc.array(fc.record({ name: token.map((t) => `x-${t}`), value: optional(chars('aZ0 \t:=ü', 0)) }), {
    maxLength: 4,
  });
  const media = fc.record({
    media: token,
    port: fc.nat(65_535),
    portCount: optional(fc.integer({ min: 1, max: 65_535 })),
    proto: fc.array(token, { minLength: 1, maxLength: 3 }).map((p) => p.join('/')),
    formats: fc.array(token, { minLength: 1, maxLength: 4 }),
    information: optional(text),
    connections: fc.array(connection, { minLength: 1, maxLength: 2 }),
    bandwidths,
    key: optional(text),
    attributes,
  });
  const session: fc.Arbitrary<SessionDescription> = fc.record({
    origin: fc.record({
      username: visible,
      sessionId: digits,
      sessionVersion: digits,
      netType: token,
      addrType: token,
      address: visible,
    }),
    sessionName: text,
    information: optional(text),
    uri: optional(text),
    emails: fc.array(text, { maxLength: 2 }),
    phones: fc.array(text, { maxLength: 2 }),
    connection: optional(connection),
    bandwidths,
    times,
    key: optional(text),
    attributes,
    media: fc.array(media, { maxLength: 3 }),
  });
  fc.assert(
    fc.property(session, (model) => {
      const written = writeSdp(model);
      expect(parseSdp(written)).toEqual(model);
      expect(writeSdp(parseSdp(written))).toBe(written);
    }),
    { numRuns: 500 },
  );
});
