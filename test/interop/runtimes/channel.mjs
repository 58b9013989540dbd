/**
 * One peer of two, each in a runtime of its own: `channel.mjs offer` and `channel.mjs answer`. Each writes its complete
 * description to standard output as a line, and reads the other's from standard input, to its end. What it saw follows as lines.
 * Nothing here ends the process: closed connections must leave nothing behind.
 */
import process from 'node:process';
import { RTCPeerConnection } from 'purertc';
import { ownCipher } from 'purertc/crypto';

const BULK_BYTES = 1_048_576;
const bulk = Uint8Array.from({ length: BULK_BYTES }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
const isBulk = (data) => data instanceof ArrayBuffer && new Uint8Array(data).every((byte, i) => byte === bulk[i]);
const describe = (data) =>
  typeof data === 'string' ? data : `${data.byteLength} bytes, ${isBulk(data) ? 'the same' : 'others'}`;
const tell = (line) => console.log(line);

const pc = new RTCPeerConnection({ purertc: { maxMessageSize: BULK_BYTES } });
const gathered = new Promise((resolve) => {
  pc.onicecandidate = ({ candidate }) => candidate === null && resolve();
});

async function exchange() {
  await pc.setLocalDescription();
  await gathered;
  tell(JSON.stringify(pc.localDescription));
}

async function theirs() {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  await pc.setRemoteDescription(JSON.parse(text));
}

function offer() {
  const channel = pc.createDataChannel('runtimes');
  channel.onopen = () => channel.send('hello');
  channel.onmessage = ({ data }) => {
    tell(`got ${describe(data)}`);
    if (typeof data === 'string') return channel.send(bulk);
    tell(`record cipher: ${ownCipher().implementation}`);
    channel.close();
  };
  channel.onclose = () => {
    tell('channel closed');
    pc.close();
  };
}

function answer() {
  pc.ondatachannel = ({ channel }) => {
    channel.onmessage = ({ data }) => {
      tell(`got ${describe(data)}`);
      channel.send(typeof data === 'string' ? `${data} back` : data);
    };
    channel.onclose = () => {
      tell(`record cipher: ${ownCipher().implementation}`);
      tell('channel closed');
      pc.close();
    };
  };
}

if (process.argv[2] === 'offer') {
  offer();
  await exchange();
  await theirs();
} else {
  answer();
  await theirs();
  await exchange();
}
