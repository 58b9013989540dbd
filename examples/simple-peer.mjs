// simple-peer, unchanged, in Node: purertc's classes are its `wrtc` option. Two peers in one process greet each other.
// Run it with `node examples/simple-peer.mjs` (after `npm run build` in a checkout).
import * as wrtc from 'purertc';
import SimplePeer from 'simple-peer';

// Loopback is enough for two peers in one process; without `purertc` all interfaces are used, as in a browser.
const config = { iceServers: [], purertc: { interfaceFilter: ({ internal }) => internal } };
const alice = new SimplePeer({ initiator: true, wrtc, config });
const bob = new SimplePeer({ wrtc, config });

// The signalling: whatever carries these objects from one to the other.
alice.on('signal', (data) => bob.signal(data));
bob.on('signal', (data) => alice.signal(data));

alice.on('connect', () => alice.send('hello from Alice'));
bob.on('data', (data) => {
  console.log(`Bob got: ${data}`);
  bob.send('hello from Bob');
});
alice.on('data', (data) => {
  console.log(`Alice got: ${data}`);
  alice.destroy();
});
bob.on('error', () => undefined); // simple-peer reports the other side's end as an error too
