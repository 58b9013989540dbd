/** The browser's end of docs/signaling.md: the same protocol as src/signaling, in the few lines that a page needs. */

export interface PeerInfo {
  readonly id: string;
  readonly name: string;
}

export type ServerMessage =
  | { readonly type: 'welcome'; readonly id: string; readonly room: string; readonly peers: readonly PeerInfo[] }
  | { readonly type: 'peer-joined'; readonly peer: PeerInfo }
  | { readonly type: 'peer-left'; readonly id: string; readonly reason: 'left' | 'lost' }
  | { readonly type: 'description'; readonly from: string; readonly description: RTCSessionDescriptionInit }
  | { readonly type: 'candidate'; readonly from: string; readonly candidate: RTCIceCandidateInit | null }
  | { readonly type: 'pong'; readonly id: number }
  | { readonly type: 'error'; readonly code: string; readonly message: string; readonly to?: string };

export interface SignalingHandlers {
  readonly onMessage: (message: ServerMessage) => void;
  readonly onState: (state: 'connecting' | 'open' | 'waiting') => void;
}

const PING_MS = 20_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

export class Signaling {
  readonly #url: string;
  readonly #join: { readonly room: string; readonly name: string };
  readonly #handlers: SignalingHandlers;
  #socket: WebSocket | undefined;
  #waitMs = FIRST_WAIT_MS;
  #pings = 0;

  constructor(url: string, room: string, name: string, handlers: SignalingHandlers) {
    this.#url = url;
    this.#join = { room, name };
    this.#handlers = handlers;
    setInterval(() => this.#send({ type: 'ping', id: this.#pings++ }), PING_MS);
    this.#dial();
  }

  sendDescription(to: string, description: RTCSessionDescription | null): void {
    if (description !== null) this.#send({ type: 'description', to, description: description.toJSON() });
  }

  /** null: there are no more. */
  sendCandidate(to: string, candidate: RTCIceCandidate | null): void {
    this.#send({ type: 'candidate', to, candidate: candidate?.toJSON() ?? null });
  }

  #dial(): void {
    this.#handlers.onState('connecting');
    const socket = new WebSocket(this.#url, 'purertc.v1');
    this.#socket = socket;
    socket.addEventListener('open', () => this.#send({ type: 'join', ...this.#join }));
    socket.addEventListener('message', (event) => {
      const message = JSON.parse(String(event.data)) as ServerMessage; // our own server, which checks what it relays
      if (message.type === 'welcome') {
        this.#waitMs = FIRST_WAIT_MS;
        this.#handlers.onState('open');
      }
      this.#handlers.onMessage(message);
    });
    socket.addEventListener('close', () => {
      this.#handlers.onState('waiting');
      setTimeout(() => this.#dial(), this.#waitMs * (1 - Math.random() / 2));
      this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
    });
  }

  #send(message: object): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}
