import { afterEach } from 'vitest';
import { RTCPeerConnection, type RTCSdpType } from '../../src/index.ts';
import type { PurertcOptions } from '../../src/peer-connection/index.ts';

/** No interface is usable: descriptions are all that there is. */
export const OFFLINE = { purertc: { interfaceFilter: (): boolean => false } } as const;

/** A description of another connection. */
export interface Made {
  readonly type: RTCSdpType;
  readonly sdp: string;
}

export interface OfflineConnections {
  make(extras?: PurertcOptions): RTCPeerConnection;
  withChannel(): RTCPeerConnection;
  /** An offer of somebody else. */
  offer(): Promise<Made>;
  /** Somebody else's answer to the offer that `pc` has set. */
  answerTo(pc: RTCPeerConnection): Promise<Made>;
}

/** Connections that never see a network, each closed after the test that made it. */
export function useOfflineConnections(): OfflineConnections {
  const open: RTCPeerConnection[] = [];
  afterEach(() => {
    for (const pc of open.splice(0)) pc.close();
  });
  const make = (extras?: PurertcOptions): RTCPeerConnection => {
    const pc = new RTCPeerConnection({ purertc: { ...OFFLINE.purertc, ...extras } });
    open.push(pc);
    return pc;
  };
  const withChannel = (): RTCPeerConnection => {
    const pc = make();
    pc.createDataChannel('x');
    return pc;
  };
  return {
    make,
    withChannel,
    offer: async () => made(await withChannel().createOffer()),
    answerTo: async (pc) => {
      const other = make();
      await other.setRemoteDescription(pc.localDescription!);
      return made(await other.createAnswer());
    },
  };
}

function made({ type, sdp = '' }: { readonly type: RTCSdpType; readonly sdp?: string }): Made {
  return { type, sdp };
}
