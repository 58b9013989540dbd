import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';
import { OFFLINE } from './offline.ts';

async function offer(): Promise<string> {
  const pc = new RTCPeerConnection(OFFLINE);
  pc.createDataChannel('x');
  const { sdp = '' } = await pc.createOffer();
  pc.close();
  return sdp;
}

/** Legal exceptions of the operations; anything else is a fault of ours. */
function expectW3cError(error: unknown): void {
  if (error instanceof DOMException || error instanceof TypeError) return;
  throw new Error(`not an exception of the W3C: ${String(error)}`, { cause: error });
}

/** One edit of a text: a line replaced, removed or doubled, or characters changed. */
const edit = fc.oneof(
  fc.record({ kind: fc.constant('drop' as const), at: fc.nat(60) }),
  fc.record({ kind: fc.constant('double' as const), at: fc.nat(60) }),
  fc.record({ kind: fc.constant('value' as const), at: fc.nat(60), text: fc.string({ maxLength: 40 }) }),
  fc.record({
    kind: fc.constant('line' as const),
    at: fc.nat(60),
    text: fc.constantFrom(
      'a=ice-ufrag:ab_-cd',
      'a=ice-ufrag:x',
      `a=ice-ufrag:${'y'.repeat(256)}`,
      'a=ice-pwd:short',
      `a=ice-pwd:${'ü'.repeat(30)}`,
      'a=ice-lite',
      'a=ice-pacing:0',
      'a=ice-pacing:9999999999',
      'a=setup:holdconn',
      'a=setup:passive',
      'a=sctp-port:0',
      'a=sctp-port:65535',
      'a=max-message-size:0',
      'a=max-message-size:99999999999999999999',
      'a=fingerprint:sha-256 00:11',
      'a=fingerprint:md5 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF',
      'a=candidate:1 1 udp 2130706431 192.0.2.1 1234 typ host',
      'a=candidate:x',
      'a=end-of-candidates',
      'a=mid:other',
      'a=group:BUNDLE nothing',
      'm=audio 9 UDP/TLS/RTP/SAVPF 0',
      'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
    ),
  }),
);

function apply(sdp: string, edits: readonly (typeof edit extends fc.Arbitrary<infer T> ? T : never)[]): string {
  const lines = sdp.split('\r\n');
  for (const change of edits) {
    const at = change.at % lines.length;
    if (change.kind === 'drop') lines.splice(at, 1);
    else if (change.kind === 'double') lines.splice(at, 0, lines[at] ?? '');
    else if (change.kind === 'line') lines.splice(at, 0, change.text);
    else lines[at] = (lines[at] ?? '').replace(/[:=][^:=]*$/, `:${change.text}`);
  }
  return lines.join('\r\n');
}

describe('what comes through the signalling', () => {
  it('mutated offers are answered or refused with an exception of the W3C, and leave a usable connection', async () => {
    const sdp = await offer();
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 6 }), async (edits) => {
        const pc = new RTCPeerConnection(OFFLINE);
        try {
          await pc.setRemoteDescription({ type: 'offer', sdp: apply(sdp, edits) });
          await pc.setLocalDescription();
          expect(pc.signalingState).toBe('stable');
        } catch (error) {
          expectW3cError(error);
          // What was refused has changed nothing; what was taken can be taken back.
          if (pc.signalingState !== 'stable') await pc.setLocalDescription({ type: 'rollback' });
          await pc.setRemoteDescription({ type: 'offer', sdp });
          await pc.setLocalDescription();
          expect(pc.signalingState).toBe('stable');
        } finally {
          pc.close();
        }
      }),
      { numRuns: 600 },
    );
  });

  it('mutated answers likewise', async () => {
    const answerer = new RTCPeerConnection(OFFLINE);
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 6 }), async (edits) => {
        const pc = new RTCPeerConnection(OFFLINE);
        const other = new RTCPeerConnection(OFFLINE);
        pc.createDataChannel('x');
        await pc.setLocalDescription();
        await other.setRemoteDescription(pc.localDescription!);
        const { sdp = '' } = await other.createAnswer();
        other.close();
        try {
          await pc.setRemoteDescription({ type: 'answer', sdp: apply(sdp, edits) });
          expect(pc.signalingState).toBe('stable');
        } catch (error) {
          expectW3cError(error);
          expect(pc.signalingState).toBe('have-local-offer');
          await pc.setRemoteDescription({ type: 'answer', sdp });
          expect(pc.signalingState).toBe('stable');
        } finally {
          pc.close();
        }
      }),
      { numRuns: 200 },
    );
    answerer.close();
  });

  it('any text as a candidate is taken or refused with an exception of the W3C', async () => {
    const pc = new RTCPeerConnection(OFFLINE);
    await pc.setRemoteDescription({ type: 'offer', sdp: await offer() });
    await pc.setLocalDescription();
    const parts = fc.array(
      fc.oneof(
        fc.constantFrom(
          'candidate:1',
          '1',
          'udp',
          'tcp',
          'typ',
          'host',
          'srflx',
          '192.0.2.1',
          '::1',
          'x.local',
          '9',
          'ufrag',
        ),
        fc.string({ maxLength: 8 }),
        fc.nat().map(String),
      ),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(parts, fc.boolean(), async (fields, real) => {
        const candidate = real
          ? `candidate:1 1 udp 2130706431 192.0.2.1 1234 typ host ${fields.join(' ')}`
          : `candidate:${fields.join(' ')}`;
        await pc.addIceCandidate({ candidate, sdpMid: '0' }).catch(expectW3cError);
      }),
      { numRuns: 1000 },
    );
    pc.close();
  });
});
