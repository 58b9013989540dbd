import { type RTCDataChannel, RTCPeerConnection, type RTCPeerConnectionIceErrorEvent } from '../../src/index.ts';
import { negotiate, trickle } from '../e2e/support.ts';

/** Longer than anything on loopback takes; then the test fails with what was seen. */
const PATIENCE_MS = 30_000;

export interface RelayedPeerOptions {
  readonly url: string;
  readonly username: string;
  readonly credential: string;
  /** PEM to trust. */
  readonly ca?: string;
}

/** A peer that may use relayed candidates only, with its errors. Loopback only: the traffic stays on this machine. */
export class RelayedPeer {
  readonly pc: RTCPeerConnection;
  /** The types of its candidates and how they reach their server, each once. */
  readonly candidateKinds: string[] = [];
  readonly errors: { readonly url: string; readonly code: number; readonly text: string }[] = [];

  constructor({ url, username, credential, ca }: RelayedPeerOptions) {
    this.pc = new RTCPeerConnection({
      iceServers: [{ urls: url, username, credential }],
      iceTransportPolicy: 'relay',
      purertc: { interfaceFilter: ({ internal }) => internal, ...(ca !== undefined && { turn: { ca: [ca] } }) },
    });
    this.pc.addEventListener('icecandidate', ({ candidate }) => {
      const kind = candidate?.candidate ? `${candidate.type} ${candidate.relayProtocol}` : undefined;
      if (kind !== undefined && !this.candidateKinds.includes(kind)) this.candidateKinds.push(kind);
    });
    this.pc.onicecandidateerror = ({ url: of, errorCode, errorText }: RTCPeerConnectionIceErrorEvent) => {
      this.errors.push({ url: of, code: errorCode, text: errorText });
    };
  }

  close(): void {
    this.pc.close();
  }
}

/** Trickles both ways, and answers. */
export async function connectPeers(offerer: RTCPeerConnection, answerer: RTCPeerConnection): Promise<void> {
  trickle(offerer, answerer);
  await negotiate(offerer, answerer);
}

/** Sends back whatever comes on channels that the other side makes. */
export function echoAll(pc: RTCPeerConnection): void {
  pc.ondatachannel = ({ channel }) => {
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => channel.send(data as string);
  };
}

/** Resolves when the channel is open; names the peer's errors when it does not open. */
export function openedChannel(channel: RTCDataChannel, context: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the channel did not open: ${context()}`)), PATIENCE_MS);
    channel.onopen = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

/** Sends each of the messages and resolves with what comes back, in order. */
export function exchange(
  channel: RTCDataChannel,
  messages: readonly (string | Uint8Array<ArrayBuffer>)[],
): Promise<(string | Uint8Array)[]> {
  channel.binaryType = 'arraybuffer';
  const answers: (string | Uint8Array)[] = [];
  return new Promise((resolve) => {
    channel.onmessage = ({ data }: { readonly data: unknown }) => {
      answers.push(data instanceof ArrayBuffer ? new Uint8Array(data) : String(data));
      if (answers.length === messages.length) resolve(answers);
    };
    for (const message of messages) {
      if (typeof message === 'string') channel.send(message);
      else channel.send(message);
    }
  });
}
