import type { RTCPeerConnection } from '../../src/index.ts';

/** What one side signals to the other. */
export interface Description {
  readonly type: 'offer' | 'answer';
  readonly sdp: string;
}

/** For who trickles nothing: the local description, once all candidates are in it. */
export function gathered(pc: RTCPeerConnection): Promise<Description> {
  return new Promise((resolve, reject) => {
    const check = (): void => {
      const { iceGatheringState, localDescription } = pc;
      if (iceGatheringState !== 'complete' || localDescription === null) return;
      const { type, sdp } = localDescription;
      if (type === 'offer' || type === 'answer') resolve({ type, sdp });
      else reject(new Error(`unexpected description type ${type}`));
    };
    pc.addEventListener('icegatheringstatechange', check);
    check();
  });
}

/** What is left of a description in a network that lets no UDP through, as far as candidates can say it. */
export function tcpOnly({ type, sdp }: Description): Description {
  return { type, sdp: sdp.replace(/a=candidate:\S+ 1 udp .*\r\n/g, '') };
}
