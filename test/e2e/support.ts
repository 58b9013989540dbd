import { type RTCConfiguration, type RTCDataChannel, RTCPeerConnection } from '../../src/index.ts';

/** Loopback only: the tests stay on this machine. */
export const LOOPBACK: RTCConfiguration = { purertc: { interfaceFilter: ({ ip }) => ip === '127.0.0.1' } };

/** The next event of a type. Rejects after `limitMs` with what was waited for, instead of hanging the run. */
export function once<T extends Event>(target: EventTarget, type: string, limitMs = 10_000): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${type} event within ${limitMs} ms`)), limitMs);
    target.addEventListener(
      type,
      (event) => {
        clearTimeout(timer);
        resolve(event as T);
      },
      { once: true },
    );
  });
}

export function untilState(channel: RTCDataChannel, state: RTCDataChannel['readyState']): Promise<unknown> {
  if (channel.readyState === state) return Promise.resolve();
  return once(channel, state === 'open' ? 'open' : 'close');
}

/**
 * Trickles candidates both ways, as a signalling channel would.
 * @returns what was refused, such as candidates of an offer that the other side never got.
 */
export function trickle(a: RTCPeerConnection, b: RTCPeerConnection): unknown[] {
  const refused: unknown[] = [];
  const forward = (from: RTCPeerConnection, to: RTCPeerConnection): void => {
    from.addEventListener('icecandidate', ({ candidate }) => {
      if (to.signalingState === 'closed') return;
      to.addIceCandidate(candidate ?? undefined).catch((error: unknown) => refused.push(error));
    });
  };
  forward(a, b);
  forward(b, a);
  return refused;
}

/** One offer/answer exchange. `edit` may change the SDP on its way, as a signalling server could. */
export async function negotiate(
  offerer: RTCPeerConnection,
  answerer: RTCPeerConnection,
  edit: (sdp: string, type: 'offer' | 'answer') => string = (sdp) => sdp,
): Promise<void> {
  await offerer.setLocalDescription();
  await answerer.setRemoteDescription({ type: 'offer', sdp: edit(offerer.localDescription!.sdp, 'offer') });
  await answerer.setLocalDescription();
  await offerer.setRemoteDescription({ type: 'answer', sdp: edit(answerer.localDescription!.sdp, 'answer') });
}

/** Joins them by trickling; the second sends back what comes on a channel of the first. Needs no turn of the event loop. */
export function openEcho(
  a: RTCPeerConnection,
  b: RTCPeerConnection,
): { readonly channel: RTCDataChannel; readonly echoes: unknown[] } {
  trickle(a, b);
  b.ondatachannel = ({ channel: other }) => {
    other.onmessage = ({ data }) => other.send(data as string);
  };
  const channel = a.createDataChannel('x');
  const echoes: unknown[] = [];
  channel.onmessage = ({ data }) => void echoes.push(data);
  void negotiate(a, b);
  return { channel, echoes };
}

/** Two connections on loopback, joined by trickling; `close` ends both. */
export class Pair {
  readonly a: RTCPeerConnection;
  readonly b: RTCPeerConnection;
  readonly refused: unknown[];

  constructor(configurationA: RTCConfiguration = LOOPBACK, configurationB: RTCConfiguration = LOOPBACK) {
    this.a = new RTCPeerConnection(configurationA);
    this.b = new RTCPeerConnection(configurationB);
    this.refused = trickle(this.a, this.b);
  }

  /** Opens one channel from `a`. @returns both ends, open. */
  async connect(
    options: Parameters<RTCPeerConnection['createDataChannel']>[1] = {},
    edit?: (sdp: string, type: 'offer' | 'answer') => string,
  ): Promise<[RTCDataChannel, RTCDataChannel]> {
    const channel = this.a.createDataChannel('test', options);
    const announced = once<Event & { channel: RTCDataChannel }>(this.b, 'datachannel');
    await negotiate(this.a, this.b, edit);
    const { channel: other } = await announced;
    await Promise.all([untilState(channel, 'open'), untilState(other, 'open')]);
    return [channel, other];
  }

  close(): void {
    this.a.close();
    this.b.close();
  }
}

/** FNV-1a over the bytes of a message, its kind and length: what both sides compare. */
export function checksum(data: string | ArrayBuffer): string {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : new Uint8Array(data);
  let hash = 0x811c_9dc5;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return `${typeof data} ${bytes.length} ${hash}`;
}

export function payload(kind: 'text' | 'binary', length: number): string | ArrayBuffer {
  const bytes = Uint8Array.from({ length }, (_, i) =>
    kind === 'text' ? 32 + ((i * 7) % 95) : (i * 31 + (i >>> 8)) & 255,
  );
  return kind === 'text' ? new TextDecoder().decode(bytes) : bytes.buffer;
}
