// A map that three peers share over a mesh of data channels, as y-webrtc shares documents: the last write of a key wins.
// Run it with `node examples/shared-map.mjs` (after `npm run build` in a checkout).
import { RTCPeerConnection } from 'purertc';

const config = { purertc: { interfaceFilter: ({ internal }) => internal } };

/** Entries carry a Lamport clock and the writer's name, so that all peers decide alike which write is the last. */
class SharedMap {
  #name;
  #clock = 0;
  #entries = new Map();
  #channels = new Set();
  #connections = new Set();
  onchange = () => undefined;

  constructor(name) {
    this.#name = name;
  }

  get(key) {
    return this.#entries.get(key)?.value;
  }

  set(key, value) {
    this.#apply({ key, value, clock: this.#clock + 1, writer: this.#name });
  }

  /** `send` passes a message to the other peer; what it sends comes in by the returned function. */
  connect(initiator, send) {
    const connection = new RTCPeerConnection(config);
    this.#connections.add(connection);
    const channel = connection.createDataChannel('map', { negotiated: true, id: 0 });
    channel.onopen = () => {
      this.#channels.add(channel);
      for (const entry of this.#entries.values()) channel.send(JSON.stringify(entry));
    };
    channel.onmessage = ({ data }) => this.#apply(JSON.parse(data));
    channel.onclose = () => this.#channels.delete(channel);
    connection.onicecandidate = ({ candidate }) => send({ candidate });
    if (initiator) {
      connection.onnegotiationneeded = async () => {
        await connection.setLocalDescription();
        send({ description: connection.localDescription });
      };
    }
    return async ({ description, candidate }) => {
      if (description === undefined) return connection.addIceCandidate(candidate);
      await connection.setRemoteDescription(description);
      if (description.type !== 'offer') return;
      await connection.setLocalDescription();
      send({ description: connection.localDescription });
    };
  }

  #apply(entry) {
    const known = this.#entries.get(entry.key);
    const newer =
      known === undefined || entry.clock > known.clock || (entry.clock === known.clock && entry.writer > known.writer);
    this.#clock = Math.max(this.#clock, entry.clock);
    if (!newer) return;
    this.#entries.set(entry.key, entry);
    // On to everybody: who knows it already ignores it.
    for (const channel of this.#channels) channel.send(JSON.stringify(entry));
    this.onchange();
  }

  close() {
    for (const connection of this.#connections) connection.close();
  }
}

function join(a, b) {
  let toA;
  const toB = b.connect(false, (message) => toA(message));
  toA = a.connect(true, (message) => toB(message));
}

const peers = ['ann', 'ben', 'cem'].map((name) => new SharedMap(name));
const [ann, ben, cem] = peers;
join(ann, ben);
join(ben, cem);
join(cem, ann);

ann.set('title', 'notes'); // before anybody is connected: sent when channels open
cem.set('title', 'minutes'); // at the same time; the later name wins a tie
ben.set('author', 'ben');

await new Promise((resolve) => {
  const check = () => {
    if (peers.every((peer) => peer.get('title') === 'minutes' && peer.get('author') === 'ben')) resolve();
  };
  for (const peer of peers) peer.onchange = check;
});
console.log(peers.map((peer) => `${peer.get('title')} by ${peer.get('author')}`).join(', '));
for (const peer of peers) peer.close();
