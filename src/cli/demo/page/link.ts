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
/** Versions as they are on the wire (RFC 6347 §4.1, RFC 9147 §5.3). */
const DTLS_VERSIONS: Readonly<Record<string, string>> = { FEFD: 'DTLS 1.2', FEFC: 'DTLS 1.3' };

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
  #secured = false;

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
    if (description.type === 'answer') {
      this.#handlers.onStep('signaling', `answer received from ${this.peer.name}`, true);
    }
    await this.pc.setRemoteDescription(description);
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
    if (description.type === 'offer') {
      await this.pc.setLocalDescription();
      this.#signaling.sendDescription(this.peer.id, this.pc.localDescription);
      this.#handlers.onStep('signaling', `offer received, answered ${this.peer.name}`, true);
    }
    this.#watchSecurity();
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
        this.#handlers.onStep('connecting', `candidate: ${candidate.type} ${host(candidate)}`, false);
      }
      this.#signaling.sendCandidate(this.peer.id, candidate);
    });
    pc.addEventListener('connectionstatechange', () => {
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

  /** The DTLS transport is there once descriptions are; it may be connected by then. */
  #watchSecurity(): void {
    const dtls = this.pc.sctp?.transport;
    if (dtls === undefined || this.#secured) return;
    const check = () => {
      if (dtls.state !== 'connected' || this.#secured) return;
      this.#secured = true;
      this.#handlers.onStep('securing', 'handshake complete', true);
      void this.#reportSecurity();
    };
    dtls.addEventListener('statechange', check);
    check();
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
      const version = DTLS_VERSIONS[tlsVersion ?? ''] ?? `DTLS ${tlsVersion ?? ''}`;
      this.#handlers.onStep('securing', `${version}, as ${dtlsRole ?? 'unknown'}: ${dtlsCipher ?? ''}`, false);
    }
    const fingerprint = /^a=fingerprint:(\S+) (\S+)/m.exec(this.pc.remoteDescription?.sdp ?? '');
    this.#handlers.onStep(
      'securing',
      `fingerprint ${fingerprint?.[1]} ${fingerprint?.[2]?.slice(0, 23)}… matches`,
      false,
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
  return candidate === undefined ? '?' : `${candidate.type ?? ''} ${host(candidate)}:${candidate.port ?? ''}`;
}

/** Browsers hide local addresses behind long mDNS names (draft-ietf-mmusic-mdns-ice-candidates): shortened for reading. */
function host(candidate: RTCIceCandidate): string {
  const address = candidate.address ?? '';
  const shortened = address.replace(/^([0-9a-f]{8})-[0-9a-f-]+\.local$/, '$1….local');
  return shortened.includes(':') ? `[${shortened}]` : shortened;
}
