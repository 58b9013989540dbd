/**
 * One purertc peer in a process of its own, so that it can run in a network namespace. It uses the public API of the built
 * package only. Commanded over IPC: `{id, command, args}` in, `{id, result | error}` out.
 */
import { RTCPeerConnection } from 'purertc';

let pc;
let channel;
let opened;
let answers = [];
const states = [];

function adopt(next) {
  channel = next;
  opened = new Promise((resolve) => {
    if (channel.readyState === 'open') resolve();
    else channel.onopen = () => resolve();
  });
  channel.onmessage = ({ data }) => {
    const waiting = answers.shift();
    if (waiting === undefined) channel.send(`${data} back`);
    else waiting(data);
  };
}

/** Resolves when `look` says so, each time one of the events has been. */
function until(target, events, look) {
  return new Promise((resolve) => {
    const check = () => {
      if (look()) resolve();
    };
    for (const event of events) target.addEventListener(event, check);
    check();
  });
}

/** The generation that is being gathered has all its candidates: its description says so. */
const gathered = () =>
  until(pc, ['icegatheringstatechange', 'icecandidate'], () => pc.localDescription.sdp.includes('a=end-of-candidates'));

async function describe() {
  await pc.setLocalDescription();
  await gathered();
  return { type: pc.localDescription.type, sdp: pc.localDescription.sdp };
}

const commands = {
  create(configuration) {
    pc = new RTCPeerConnection(configuration);
    pc.onconnectionstatechange = () => states.push(pc.connectionState);
    const incoming = new Promise((resolve) => {
      pc.ondatachannel = (event) => resolve(event.channel);
    });
    opened = incoming.then((next) => {
      adopt(next);
      return opened;
    });
  },
  async offer(options) {
    if (options?.channel) adopt(pc.createDataChannel('netns'));
    if (options?.restart) pc.restartIce();
    return describe();
  },
  async answer(offer) {
    await pc.setRemoteDescription(offer);
    return describe();
  },
  negotiated() {
    adopt(pc.createDataChannel('mdns', { negotiated: true, id: 0 }));
  },
  accept: (answer) => pc.setRemoteDescription(answer),
  open: () => opened,
  /** Sends a text and waits for the other side's echo of it. */
  async say(text) {
    const answer = new Promise((resolve) => answers.push(resolve));
    channel.send(text);
    return answer;
  },
  pair() {
    const { local, remote } = pc.sctp.transport.iceTransport.getSelectedCandidatePair();
    const show = ({ type, address, port, protocol }) => ({ type, address, port, protocol });
    return { local: show(local), remote: show(remote) };
  },
  waitFor: (...wanted) => until(pc, ['connectionstatechange'], () => wanted.includes(pc.connectionState)),
  /** Waits for a candidate with this address in the local description. */
  candidate: (address) =>
    until(pc, ['icecandidate'], () => pc.localDescription.sdp.includes(` ${address} `)).then(() => undefined),
  states: () => states,
  close() {
    pc.close();
    answers = [];
  },
};

process.on('message', async ({ id, command, args }) => {
  let answer;
  try {
    answer = { id, result: await commands[command](...args) };
  } catch (error) {
    answer = { id, error: String(error?.stack ?? error) };
  }
  if (process.connected) process.send(answer);
});
