/** What the demo's processes tell each other over Node's IPC. Plain objects; both ends are this program. */

export const STEPS = ['signaling', 'connecting', 'securing', 'communicating'] as const;
export type StepName = (typeof STEPS)[number];

/** The members of the W3C `RTCIceServer` that the demo uses. */
export interface IceServer {
  readonly urls: string;
  readonly username?: string;
  readonly credential?: string;
}

/** What a peer process is asked to be. */
export interface PeerConfig {
  readonly name: string;
  readonly room: string;
  /** `ws:` URL. */
  readonly signalingUrl: string;
  readonly iceServers: readonly IceServer[];
  /** Everything goes through the TURN server, as between two networks that let nothing else through. */
  readonly relayOnly: boolean;
  /** For files that the peer makes itself; exists. */
  readonly folder: string;
  /** Where received files go; exists. */
  readonly saveTo: string;
  /** The sender runs through text, binary and this file once it is connected; the other one answers whoever comes. */
  readonly sendFile: string | undefined;
  /** Times to dial the signaling server before giving up. */
  readonly attempts: number;
  /** Say hello to whoever connects: for people in a browser. */
  readonly greet: boolean;
}

export type ToPeer =
  | { readonly type: 'start'; readonly config: PeerConfig }
  /** A line that the person at the terminal wrote, for everybody who is connected. */
  | { readonly type: 'say'; readonly text: string }
  | { readonly type: 'send-file'; readonly path: string }
  | { readonly type: 'stop' };

export type FromPeer =
  /** Something under one of the four steps happened; `done` says that the step is complete. `atMs` is since 1970. */
  | {
      readonly type: 'step';
      readonly step: StepName;
      readonly text: string;
      readonly done: boolean;
      readonly atMs: number;
    }
  /** Bytes of a file that have left, or arrived. Sent a few times a second. */
  | { readonly type: 'progress'; readonly file: string; readonly bytes: number; readonly total: number }
  /** In the room and ready for others to come. */
  | { readonly type: 'ready' }
  /** The sender has run through everything. */
  | { readonly type: 'finished' }
  | { readonly type: 'failed'; readonly reason: string };

/** Names of channels' protocols (RFC 8832 §5.1), which say what a channel is for. The page has the same. */
export const CHAT_PROTOCOL = 'purertc.demo.chat';
export const FILE_PROTOCOL = 'purertc.demo.file';
