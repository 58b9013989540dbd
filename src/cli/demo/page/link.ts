import { FILE_PROTOCOL } from './files.ts';
import type { PeerInfo, ServerMessage, Signaling } from './signaling.ts';

export type StepName = 'signaling' | 'connecting' | 'securing' | 'communicating';

export interface LinkHandlers {
  /** A line under a step; `done` closes the step. */
  readonly onStep: (step: StepName, text: string, done: boolean) => void;
  readonly onState: (state: 'connecting' | 'open' | 'failed', reason: string) => void;
  readonly onText: (text: string) => void;
  readonly onBinary: (bytes: ArrayBuffer) => void;
  readonly onFile: (channel: RTCDataChannel) => void;
}

const CHAT_PROTOCOL = 'purertc.demo.chat';

/** The connection with one peer: whoever came last offers, and opens the chat channel. */
export class Link {
  readonly peer: PeerInfo;
  readonly pc: RTCPeerConnection;
  readonly #signaling: Signaling;
  readonly #handlers: LinkHandlers;
  #chat: RTCDataChannel | undefined;
  /** Candidates that came before the description they belong to. */
  #early: (RTCIceCandidateInit | null)[] = [];
  #candidates = 0;

  constructor(peer: PeerInfo, signaling: Signaling, iceServers: RTCIceServer[], handlers: LinkHandlers) {
    this.peer = peer;
    this.#signaling = signaling;
    this.#handlers = handlers;
    this.pc = new RTCPeerConnection({ iceServers });
    this.#watch();
  }

  async offer(): Promise<void> {
    this.#useChat(this.pc.createDataChannel('chat', { protocol: CHAT_PROTOCOL }));
    await this.pc.setLocalDescription();
    this.#signaling.sendDescription(this.peer.id, this.pc.localDescription);
    this.#handlers.onStep('signaling', `offer sent to ${this.peer.name}`, false);
  }

  async handle(message: ServerMessage & { readonly type: 'description' | 'candidate' }): Promise<void> {
    if (message.type === 'candidate') {
      if (this.pc.remoteDescription === null) this.#early.push(message.candidate);
      else await this.#addCandidate(message.candidate);
      return;
    }
    const { description } = message;
    await this.pc.setRemoteDescription(description);
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
    if (description.type === 'offer') {
      await this.pc.setLocalDescription();
      this.#signaling.sendDescription(this.peer.id, this.pc.localDescription);
      this.#handlers.onStep('signaling', `offer received, answered ${this.peer.name}`, true);
    } else {
      this.#handlers.onStep('signaling', `answer received from ${this.peer.name}`, true);
    }
  }

  get isOpen(): boolean {
    return this.#chat?.readyState === 'open';
  }

  sendText(text: string): void {
    this.#chat?.send(text);
  }

  close(): void {
    this.pc.close();
  }

  async #addCandidate(candidate: RTCIceCandidateInit | null): Promise<void> {
    // null stands for "no more": browsers know it as a candidate without a line.
    await this.pc.addIceCandidate(candidate ?? { candidate: '', sdpMLineIndex: 0 });
  }

  #watch(): void {
    const { pc } = this;
    pc.addEventListener('icecandidate', ({ candidate }) => {
      if (candidate !== null && candidate.candidate !== '') {
        this.#candidates++;
        this.#handlers.onStep('connecting', `candidate: ${candidate.type} ${candidate.address ?? ''}`, false);
      }
      this.#signaling.sendCandidate(this.peer.id, candidate);
    });
    pc.addEventListener('connectionstatechange', () => {
      if (pc.connectionState === 'connected') void this.#reportSecurity();
      if (pc.connectionState === 'failed') this.#handlers.onState('failed', `the connection is ${pc.connectionState}`);
    });
    pc.addEventListener('iceconnectionstatechange', () => {
      if (pc.iceConnectionState === 'connected') this.#reportPair();
    });
    pc.addEventListener('datachannel', ({ channel }) => {
      if (channel.protocol === FILE_PROTOCOL) this.#handlers.onFile(channel);
      else this.#useChat(channel);
    });
  }

  #reportPair(): void {
    const pair = this.pc.sctp?.transport.iceTransport.getSelectedCandidatePair?.();
    const text =
      pair === undefined || pair === null
        ? 'pair selected'
        : `pair: ${endpoint(pair.local)} ⇄ ${endpoint(pair.remote)}`;
    this.#handlers.onStep('connecting', `${text} (of ${this.#candidates} own candidates)`, true);
  }

  async #reportSecurity(): Promise<void> {
    const stats = await this.pc.getStats();
    for (const report of stats.values()) {
      if (report.type !== 'transport') continue;
      const { dtlsCipher, tlsVersion, dtlsRole } = report as RTCTransportStats;
      // FEFD is DTLS 1.2 on the wire (RFC 6347 §4.1).
      const version = tlsVersion === 'FEFD' ? 'DTLS 1.2' : `DTLS ${tlsVersion ?? ''}`;
      this.#handlers.onStep('securing', `${version}, as ${dtlsRole ?? 'unknown'}: ${dtlsCipher ?? ''}`, false);
    }
    const fingerprint = /^a=fingerprint:(\S+) (\S+)/m.exec(this.pc.remoteDescription?.sdp ?? '');
    this.#handlers.onStep(
      'securing',
      `fingerprint ${fingerprint?.[1]} ${fingerprint?.[2]?.slice(0, 23)}… matches`,
      true,
    );
  }

  #useChat(channel: RTCDataChannel): void {
    this.#chat = channel;
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('open', () => {
      this.#handlers.onStep('communicating', `channel “${channel.label}” open, id ${channel.id}`, true);
      this.#handlers.onState('open', '');
    });
    channel.addEventListener('close', () => this.#handlers.onState('failed', 'the channel closed'));
    channel.addEventListener('message', ({ data }: MessageEvent<string | ArrayBuffer>) => {
      if (typeof data === 'string') this.#handlers.onText(data);
      else this.#handlers.onBinary(data);
    });
  }
}

function endpoint(candidate: RTCIceCandidate | undefined): string {
  return candidate === undefined ? '?' : `${candidate.type ?? ''} ${candidate.address ?? ''}:${candidate.port ?? ''}`;
}
