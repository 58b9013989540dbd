// Pipes a file through a data channel as WHATWG streams: a slow disk on one side slows the other, and nothing piles up.
// Run it with `node examples/pipe-file.mjs [file]` (after `npm run build` in a checkout).
import { createHash } from 'node:crypto';
import { openAsBlob } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { channelStreams, RTCPeerConnection } from 'purertc';

const path = process.argv[2] ?? fileURLToPath(import.meta.url);
const config = { purertc: { interfaceFilter: ({ internal }) => internal } };
const [sender, receiver] = [new RTCPeerConnection(config), new RTCPeerConnection(config)];
sender.onicecandidate = ({ candidate }) => receiver.addIceCandidate(candidate);
receiver.onicecandidate = ({ candidate }) => sender.addIceCandidate(candidate);

const received = new Promise((resolve, reject) => {
  receiver.ondatachannel = async ({ channel }) => {
    const hash = createHash('sha256');
    let bytes = 0;
    const writable = new WritableStream({
      write(chunk) {
        hash.update(chunk);
        bytes += chunk.length;
      },
    });
    await channelStreams(channel).readable.pipeTo(writable).catch(reject);
    resolve({ bytes, hash: hash.digest('hex') });
  };
});

const { writable } = channelStreams(sender.createDataChannel('file'));
await sender.setLocalDescription();
await receiver.setRemoteDescription(sender.localDescription);
await receiver.setLocalDescription();
await sender.setRemoteDescription(receiver.localDescription);

const file = await openAsBlob(path);
await file.stream().pipeTo(writable); // closes the channel behind the last byte
const { bytes, hash } = await received;
const sent = createHash('sha256').update(new Uint8Array(await file.arrayBuffer()));
console.log(bytes === file.size && hash === sent.digest('hex') ? 'the same file arrived' : 'something else arrived');
sender.close();
receiver.close();
