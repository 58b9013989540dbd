import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError, formatIp } from '../../src/core/index.ts';
import { formatCandidate, MAX_CANDIDATE_EXTENSIONS, MAX_CANDIDATE_TEXT, parseCandidate } from '../../src/ice/index.ts';
import vectors from '../vectors/rfc8839/candidates.json' with { type: 'json' };

describe('candidate text (RFC 8839 §5.1)', () => {
  it.each(vectors.cases)('$name: reads and writes', ({ text, candidate, ...rest }) => {
    expect(parseCandidate(text)).toEqual(candidate);
    expect(formatCandidate(parseCandidate(text))).toBe('formatted' in rest ? rest.formatted : text);
  });

  const good = 'candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host';
  it.each([
    ['', 'bad-type'],
    ['hello', 'bad-type'],
    ['candidate:', 'bad-value'],
    ['candidate:1', 'too-short'],
    ['candidate:1 1', 'too-short'],
    ['candidate:1 1 udp', 'too-short'],
    ['candidate:1 1 udp 1', 'too-short'],
    ['candidate:1 1 udp 1 192.0.2.1', 'too-short'],
    ['candidate:1 1 udp 1 192.0.2.1 5000', 'too-short'],
    ['candidate:1 1 udp 1 192.0.2.1 5000 typ', 'too-short'],
    ['candidate:1 1 udp 1 192.0.2.1 5000 tip host', 'bad-value'],
    ['candidate:1 1 udp 1 192.0.2.1 5000 typ guest', 'unsupported'],
    ['candidate:1 1 sctp 1 192.0.2.1 5000 typ host', 'unsupported'],
    ['candidate:1 0 udp 1 192.0.2.1 5000 typ host', 'bad-value'],
    ['candidate:1 257 udp 1 192.0.2.1 5000 typ host', 'bad-value'],
    ['candidate:1 1 udp 4294967296 192.0.2.1 5000 typ host', 'bad-value'],
    ['candidate:1 1 udp -1 192.0.2.1 5000 typ host', 'bad-value'],
    ['candidate:1 1 udp 1 192.0.2.1 65536 typ host', 'bad-value'],
    ['candidate:1 1 udp 1 192.0.2.256 5000 typ host', 'bad-value'],
    ['candidate:1 1 udp 1 ::g 5000 typ host', 'bad-value'],
    ['candidate:1 1 udp 1 a/b 5000 typ host', 'bad-value'],
    ['candidate:1  1 udp 1 192.0.2.1 5000 typ host', 'bad-value'],
    ['candidate:é 1 udp 1 192.0.2.1 5000 typ host', 'bad-value'],
    [`candidate:${'f'.repeat(65)} 1 udp 1 192.0.2.1 5000 typ host`, 'bad-value'],
    [`${good} raddr`, 'too-short'],
    [`${good} raddr 192.0.2.1 rport x`, 'bad-value'],
    [`${good} generation`, 'trailing-bytes'],
    [`${good} tcptype`, 'trailing-bytes'],
    ['candidate:1 1 tcp 1 192.0.2.1 5000 typ host tcptype open', 'bad-value'],
    [good + ' a b'.repeat(MAX_CANDIDATE_EXTENSIONS + 1), 'too-many'],
    [`${good} a ${'b'.repeat(MAX_CANDIDATE_TEXT)}`, 'bad-length'],
    [`${good}\na=candidate:2`, 'bad-type'],
  ])('refuses %j as %s', (text, reason) => {
    expect(() => parseCandidate(text)).toThrow(expect.objectContaining({ name: 'DecodeError', reason }));
  });

  it('keeps every extension up to the bound', () => {
    const text = good + ' a b'.repeat(MAX_CANDIDATE_EXTENSIONS);
    expect(formatCandidate(parseCandidate(text))).toBe(text);
  });

  const iceChar = fc.constantFrom(...'ABCxyz019+/');
  const word = fc.string({ unit: fc.constantFrom(...'abcXYZ019-._=:'), minLength: 1, maxLength: 12 });
  const ip = fc
    .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
    .map(formatIp);
  const candidate = fc.record({
    foundation: fc.string({ unit: iceChar, minLength: 1, maxLength: 32 }),
    component: fc.integer({ min: 1, max: 256 }),
    protocol: fc.constant('udp' as const),
    priority: fc.integer({ min: 1, max: 0x7fff_ffff }),
    address: ip,
    port: fc.integer({ min: 0, max: 65_535 }),
    type: fc.constantFrom('host', 'srflx', 'prflx', 'relay'),
  });

  it('a blank at the end of the line is no field', () => {
    const text = 'candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host generation 0';
    expect(parseCandidate(`${text} `)).toEqual(parseCandidate(text));
    expect(parseCandidate(`${text} \r\n`)).toEqual(parseCandidate(text));
  });

  it('reads back whatever it writes', () => {
    fc.assert(
      fc.property(
        candidate,
        ip,
        fc.nat(65_535),
        fc.array(fc.tuple(word, word), { maxLength: 5 }),
        (c, relatedAddress, relatedPort, extra) => {
          const extensions = extra.filter(([name]) => !['raddr', 'rport', 'ufrag', 'tcptype'].includes(name));
          const full = { ...c, relatedAddress, relatedPort, ...(extensions.length > 0 && { extensions }) };
          expect(parseCandidate(formatCandidate(full))).toEqual(full);
        },
      ),
    );
  });

  it('throws DecodeError and nothing else, whatever the text', () => {
    const fields = fc.array(
      fc.oneof(word, fc.constantFrom('candidate:1', 'udp', 'tcp', '1', 'typ', 'host', 'raddr', 'rport', '::', '')),
      { maxLength: 14 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fields.map((f) => f.join(' ')),
          fields.map((f) => `candidate:${f.join(' ')}`),
        ),
        (text) => {
          try {
            const parsed = parseCandidate(text);
            expect(parseCandidate(formatCandidate(parsed))).toEqual(parsed);
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
