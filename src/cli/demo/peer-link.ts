import {
  type RTCDataChannel,
  type RTCIceCandidate,
  type RTCIceTransportPolicy,
  RTCPeerConnection,
} from '../../peer-connection/index.ts';
import type { SignalingConnection } from '../../server/index.ts';
import type { PeerInfo, RelayedCandidate, RelayedDescription } from '../../signaling/index.ts';
import { CHAT_PROTOCOL, FILE_PROTOCOL, type IceServer, type StepName } from './messages.ts';

export interface PeerLinkHandlers {
  readonly onStep: (step: StepName, text: string, done: boolean) => void;
  /** The chat channel is open. */
  readonly onOpen: (link: PeerLink) => void;
  readonly onText: (link: PeerLink, text: string) => void;
  readonly onBinary: (link: PeerLink, bytes: Uint8Array) => void;
  /** The peer opened a channel for a file. */
  readonly onFile: (link: PeerLink, channel: RTCDataChannel) => void;
  /** The connection failed or ended. */
  readonly onEnd: (link: PeerLink, reason: string) => void;
}

/**
 * The demo's connection with one peer, on the public API alone: everything here would run in a browser too.
 * Whoever came last offers, and opens the chat channel.
 */
export class PeerLink {
  readonly peer: PeerInfo;
  readonly pc: RTCPeerConnection;
  readonly #signaling: SignalingConnection;
  readonly #handlers: PeerLinkHandlers;
  #chat: RTCDataChannel | undefined;
  /** Candidates that came before the description they belong to. */
  readonly #early: (RelayedCandidate | null)[] = [];
  #secured = false;
  #ended = false;

  constructor(
    peer: PeerInfo,
    signaling: SignalingConnection,
    ice: { readonly iceServers: readonly IceServer[]; readonly iceTransportPolicy: RTCIceTransportPolicy },
    handlers: PeerLinkHandlers,
  ) {
    this.peer = peer;
    this.#signaling = signaling;
    this.#handlers = handlers;
    this.pc = new RTCPeerConnection({
      iceServers: [...ice.iceServers],
      iceTransportPolicy: ice.iceTransportPolicy,
      // Loopback too, so that the demo works on a machine without a network.
      purertc: { interfaceFilter: () => true },
    });
    this.#watch();
  }

  get isOpen(): boolean {
    return this.#chat?.readyState === 'open';
  }

  async offer(): Promise<void> {
    this.#useChat(this.pc.createDataChannel('chat', { protocol: CHAT_PROTOCOL }));
    await this.pc.setLocalDescription();
    this.#sendDescription();
    this.#handlers.onStep('signaling', `offer sent to ${this.peer.name}`, false);
  }

  async handleDescription(description: RelayedDescription): Promise<void> {
    if (description.type === 'answer') {
      this.#handlers.onStep('signaling', `answer from ${this.peer.name} received`, true);
    }
    await this.pc.setRemoteDescription(description);
    for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate);
    if (description.type === 'offer') {
      await this.pc.setLocalDescription();
      this.#sendDescription();
      this.#handlers.onStep('signaling', `offer from ${this.peer.name} received, answer sent`, true);
    }
    this.#watchSecurity();
  }

  async handleCandidate(candidate: RelayedCandidate | null): Promise<void> {
    if (this.pc.remoteDescription === null) this.#early.push(candidate);
    else await this.#addCandidate(candidate);
  }

  sendText(text: string): void {
    this.#chat?.send(text);
  }

  sendBinary(bytes: Uint8Array<ArrayBuffer>): void {
    this.#chat?.send(bytes);
  }

  close(): void {
    this.#ended = true;
    this.pc.close();
  }

  #sendDescription(): void {
    const description = this.pc.localDescription;
    if (description !== null) this.#signaling.sendDescription(this.peer.id, description);
  }

  async #addCandidate(candidate: RelayedCandidate | null): Promise<void> {
    await this.pc.addIceCandidate(candidate ?? { candidate: '', sdpMLineIndex: 0 }); // RFC 8838 §8.2: the end
  }

  #watch(): void {
    const { pc } = this;
    pc.addEventListener('icecandidate', ({ candidate }) => this.#onLocalCandidate(candidate));
    pc.addEventListener('connectionstatechange', () => {
      if (pc.connectionState === 'failed') {
        this.#end(`the connection failed (ICE: ${pc.iceConnectionState}, DTLS: ${pc.sctp?.transport.state ?? 'new'})`);
      }
    });
    pc.addEventListener('iceconnectionstatechange', () => {
      const pair = pc.sctp?.transport.iceTransport.getSelectedCandidatePair();
      if (pc.iceConnectionState !== 'connected' || !pair) return;
      this.#handlers.onStep('connecting', `pair selected: ${describe(pair.local)} to ${describe(pair.remote)}`, true);
    });
    pc.addEventListener('datachannel', ({ channel }) => {
      if (channel.protocol === FILE_PROTOCOL) this.#handlers.onFile(this, channel);
      else this.#useChat(channel);
    });
  }

  #onLocalCandidate(candidate: RTCIceCandidate | null): void {
    if (candidate === null || candidate.candidate === '') {
      if (candidate === null) this.#relayCandidate(null);
      return;
    }
    this.#handlers.onStep('connecting', `candidate found: ${describe(candidate)}`, false);
    const { sdpMid, sdpMLineIndex, usernameFragment } = candidate;
    this.#relayCandidate({ candidate: candidate.candidate, sdpMid, sdpMLineIndex, usernameFragment });
  }

  #relayCandidate(candidate: RelayedCandidate | null): void {
    // Signaling may be gone while the connection lives; candidates are then of no use to anybody.
    if (this.#signaling.state === 'joined') this.#signaling.sendCandidate(this.peer.id, candidate);
  }

  /** The DTLS transport is there once descriptions are; it may be connected by then. */
  #watchSecurity(): void {
    const dtls = this.pc.sctp?.transport;
    if (dtls === undefined || this.#secured) return;
    const check = () => {
      if (dtls.state !== 'connected' || this.#secured) return;
      this.#secured = true;
      this.#handlers.onStep('securing', `handshake with ${this.peer.name} complete`, true);
      void this.#reportSecurity();
    };
    dtls.addEventListener('statechange', check);
    check();
  }

  async #reportSecurity(): Promise<void> {
    const stats = await this.pc.getStats();
    for (const report of stats.values()) {
      if (report.type !== 'transport') continue;
      const { tlsVersion, dtlsRole, dtlsCipher } = report;
      // FEFD is DTLS 1.2 on the wire (RFC 6347 §4.1).
      const dtls = tlsVersion === 'FEFD' ? 'DTLS 1.2' : `DTLS ${tlsVersion}`;
      this.#handlers.onStep('securing', `${dtls} as ${dtlsRole}: ${dtlsCipher}`, false);
    }
    const fingerprint = /^a=fingerprint:(\S+) (\S+)/m.exec(this.pc.remoteDescription?.sdp ?? '');
    this.#handlers.onStep(
      'securing',
      `${this.peer.name}'s certificate matches ${fingerprint?.[1]} ${fingerprint?.[2]}`,
      false,
    );
  }

  #useChat(channel: RTCDataChannel): void {
    this.#chat = channel;
    channel.binaryType = 'arraybuffer';
    const opened = () => {
      this.#handlers.onStep(
        'communicating',
        `channel "${channel.label}" to ${this.peer.name} open, id ${channel.id}`,
        true,
      );
      this.#handlers.onOpen(this);
    };
    if (channel.readyState === 'open') opened();
    else channel.addEventListener('open', opened);
    channel.addEventListener('close', () => this.#end('the channel closed'));
    channel.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') this.#handlers.onText(this, data);
      else if (data instanceof ArrayBuffer) this.#handlers.onBinary(this, new Uint8Array(data));
    });
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.close();
    this.#handlers.onEnd(this, reason);
  }
}

function describe(candidate: RTCIceCandidate): string {
  const address = candidate.address ?? '';
  const host = address.includes(':') ? `[${address}]` : address;
  return `${candidate.type} ${host}:${candidate.port} ${candidate.protocol}`;
}
