#!/usr/bin/env node
/**
 * Records SCTP packets of Chromium (decrypted, by being its peer) and of usrsctp (over plain UDP) and has tshark dissect
 * them, which knows nothing of this project: `npm run build && node test/interop/record-sctp-vectors.mjs`, about 90 s. Needs what
 * scripts/install-interop-peers.sh installs. Writes chromium.json and usrsctp.json in test/vectors/sctp: for each kind of chunk, with its
 * flags and parameters, the first packet that had it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { createTransmitSlot, resetTransmitSlot, SILENT } from '../../dist/core/index.js';
import { RTCPeerConnection } from '../../dist/index.js';
import { nodeCrypto, pcapHeader, pcapRecord } from '../../dist/io/index.js';
import { SctpAssociation } from '../../dist/sctp/index.js';

const MAX_PACKET_BYTES = 560; // larger ones only differ in their user data
const LOSS = 0.3; // so that gaps, duplicates and given-up messages are reported
const which = (program) => execFileSync('which', [program], { encoding: 'utf8' }).trim();
const folder = mkdtempSync(join(tmpdir(), 'purertc-vectors-'));

// ---- recording ----------------------------------------------------------------------------------------------------

let recorded = [];
let lossy = false;

/** Every association of the project records what comes in, and in between loses packets both ways. */
function tap() {
  const { handleInput, pollTransmit } = SctpAssociation.prototype;
  SctpAssociation.prototype.handleInput = function record(bytes, path, now) {
    recorded.push(bytes.slice());
    if (!lossy || Math.random() >= LOSS) handleInput.call(this, bytes, path, now);
  };
  SctpAssociation.prototype.pollTransmit = function lose(slot, now) {
    const sent = pollTransmit.call(this, slot, now);
    // A wrong verification tag is as good as a loss (RFC 9260 §8.5).
    if (sent && lossy && Math.random() < LOSS) slot.buffer[slot.offset + 4] ^= 0xff;
    return sent;
  };
}

// ---- Chromium -----------------------------------------------------------------------------------------------------

const CHROMIUM_FLAGS = ['--headless=new', '--no-sandbox', '--disable-gpu', '--allow-loopback-in-peer-connection'];

async function recordChromium() {
  const server = createServer((_request, response) => response.end('<!doctype html>'));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  for (const trials of ['', 'WebRTC-DataChannelMessageInterleaving/Enabled/']) {
    const args = [...CHROMIUM_FLAGS, ...(trials === '' ? [] : [`--force-fieldtrials=${trials}`])];
    const browser = await chromium.launch({ executablePath: which('chromium'), args });
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}`);
    await talkToChromium(page, trials === '');
    await browser.close();
  }
  server.close();
}

async function talkToChromium(page, waitForHeartbeat) {
  const node = new RTCPeerConnection({ purertc: { interfaceFilter: ({ internal }) => internal } });
  node.addEventListener('datachannel', ({ channel }) => {
    channel.binaryType = 'arraybuffer';
    channel.addEventListener('message', ({ data }) => channel.send(data));
  });
  const offer = await page.evaluate(`(async () => {
    window.pc = new RTCPeerConnection();
    window.channel = pc.createDataChannel('reliable');
    window.hasty = pc.createDataChannel('hasty', { ordered: false, maxRetransmits: 0 });
    window.late = pc.createDataChannel('late', { maxPacketLifeTime: 1, protocol: 'p' });
    await pc.setLocalDescription();
    await new Promise((resolve) => { pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve(); });
    return pc.localDescription.toJSON();
  })()`);
  await node.setRemoteDescription(offer);
  await node.setLocalDescription();
  while (node.iceGatheringState !== 'complete') await wait(50);
  await page.evaluate(`pc.setRemoteDescription(${JSON.stringify(node.localDescription)})`);
  await page.evaluate(`Promise.all([channel, hasty, late].map((c) =>
    c.readyState === 'open' || new Promise((resolve) => { c.onopen = resolve; })))`);
  await page.evaluate(
    `['', 'text', new Uint8Array(0), new Uint8Array([1, 2, 3]), new Uint8Array(3000)].forEach((m) => channel.send(m))`,
  );
  await wait(500);
  lossy = true;
  await page.evaluate(`(async () => {
    for (let i = 0; i < 60; i++) {
      for (const c of [hasty, late, channel]) c.send(new Uint8Array(i % 7 === 0 ? 1500 : 20).fill(i));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })()`);
  lossy = false;
  await wait(3000);
  await page.evaluate(`hasty.close()`); // Chromium asks for the reset
  await wait(500);
  const ours = node.createDataChannel('ours');
  await new Promise((resolve) => ours.addEventListener('open', resolve));
  await wait(200);
  ours.close(); // Chromium answers, and asks too
  await wait(500);
  if (waitForHeartbeat) await wait(32_000);
  await page.evaluate('pc.close()');
  await wait(300);
  node.close();
}

// ---- usrsctp ------------------------------------------------------------------------------------------------------

async function recordUsrsctp() {
  const program = join(folder, 'usrsctp-echo');
  const source = fileURLToPath(new URL('usrsctp-echo.c', import.meta.url));
  execFileSync('gcc', ['-O2', '-o', program, source, '-lusrsctp', '-lpthread']);
  for (const interleaving of [false, true]) {
    for (const role of ['client', 'server']) {
      await talkToUsrsctp(program, role, interleaving, interleaving ? 'abort' : 'shutdown');
    }
  }
}

async function talkToUsrsctp(program, role, interleaving, end) {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const args = [role === 'client' ? 'server' : 'client', String(socket.address().port)];
  const peer = spawn(program, interleaving ? [...args, 'i-data'] : args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(createInterface(peer.stdout), 'line');
  const env = {
    random: (out) => nodeCrypto.random(out),
    wallClockMs: () => Date.now(),
    crypto: nodeCrypto,
    trace: SILENT,
  };
  const association = new SctpAssociation({ env, outboundStreams: 8, inboundStreams: 8, heartbeatIntervalMs: 500 });
  const slot = createTransmitSlot(1500);
  const work = () => {
    const now = performance.now();
    if (now >= association.nextTimeout()) association.handleTimeout(now);
    for (resetTransmitSlot(slot); association.pollTransmit(slot, now); resetTransmitSlot(slot))
      socket.send(slot.buffer.slice(slot.offset, slot.offset + slot.length), Number(line), '127.0.0.1');
    while (association.pollEvent() !== undefined);
  };
  socket.on('message', (bytes) => {
    association.handleInput(bytes, undefined, performance.now());
    work();
  });
  const clock = setInterval(work, 5);
  const say = (text) => peer.stdin.write(`${text}\n`);
  const until = async (condition) => {
    for (let i = 0; !condition() && i < 400; i++) await wait(10);
  };
  say('go');
  if (role === 'client') association.connect(performance.now());
  await until(() => association.state === 'established');
  const send = (streamId, bytes, ordered = true) =>
    association.send({ streamId, ppid: 53, bytes, ordered }, performance.now());
  send(1, Uint8Array.of(1, 2, 3));
  send(2, new Uint8Array(3000), false);
  say('add 2 3');
  await wait(500);
  association.addStreams(1, 1, performance.now());
  await wait(500);
  lossy = true;
  for (let i = 0; i < 40; i++) {
    say(`send 1 51 20 1 rtx 0`);
    say(`send 2 51 1500 0 rtx 0`);
    say(`send 3 53 30 1 none 0`);
    send(1, new Uint8Array(1 + (i % 5) * 400));
    await wait(20);
  }
  lossy = false;
  await wait(2000);
  say('reset 1');
  await wait(300);
  association.resetStreams([3], performance.now());
  await wait(1000);
  // A chunk that it does not know, of the kind that is to be reported (RFC 9260 §3.2).
  if (end === 'shutdown') sayUnknown(association, socket, Number(line));
  await wait(300);
  if (role === 'client' && end === 'shutdown') association.shutdown(performance.now());
  else say(end);
  await wait(700);
  clearInterval(clock);
  peer.stdin.end();
  peer.kill();
  socket.close();
}

/** Sends a HEARTBEAT whose type was changed to 0xff on the way. */
function sayUnknown(association, socket, port) {
  const slot = createTransmitSlot(1500);
  const now = performance.now();
  association.handleTimeout(now + 100_000);
  resetTransmitSlot(slot);
  if (!association.pollTransmit(slot, now)) return;
  const bytes = slot.buffer.slice(slot.offset, slot.offset + slot.length);
  bytes[12] = 0xff;
  socket.send(withChecksum(bytes), port, '127.0.0.1');
}

function withChecksum(bytes) {
  bytes.fill(0, 8, 12);
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(8, ~crc >>> 0, true);
  return bytes;
}

// ---- dissection ---------------------------------------------------------------------------------------------------

/** An IPv4 header for protocol 132 in front, which is all that tshark needs. */
function ipPacket(payload) {
  const packet = new Uint8Array(20 + payload.length);
  packet.set([
    0x45,
    0,
    packet.length >>> 8,
    packet.length & 0xff,
    0,
    0,
    0,
    0,
    64,
    132,
    0,
    0,
    127,
    0,
    0,
    1,
    127,
    0,
    0,
    1,
  ]);
  packet.set(payload, 20);
  return packet;
}

function dissect(packets) {
  const file = join(folder, 'packets.pcap');
  writeFileSync(file, Buffer.concat([pcapHeader(), ...packets.map((bytes) => pcapRecord(ipPacket(bytes), 0))]));
  const args = ['-r', file, '-T', 'json', '-J', 'sctp', '--no-duplicate-keys', '-o', 'sctp.reassembly:FALSE'];
  const text = execFileSync('tshark', args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(text).map(({ _source }) => _source.layers.sctp);
}

/** tshark's fields of one chunk or parameter: the names without `sctp.`, without what only repeats or interprets. */
function tidy(tree) {
  const fields = {};
  for (const [name, value] of Object.entries(tree)) {
    if (
      /_tree$|_bit$|_padding$|response_in|ack_frame|acked|retrans|this_frame|payload_proto.*_tree|initiate_tag$/.test(
        name,
      ) &&
      !/init(ack)?_initiate_tag$/.test(name)
    )
      continue;
    if (name.startsWith('sctp.')) fields[name.slice(5)] = value;
    else if (typeof value === 'object' && !Array.isArray(value)) {
      fields.parameters ??= [];
      fields.parameters.push({ name, ...tidy(value) });
    }
  }
  return fields;
}

function chunksOf(layer) {
  const chunks = [];
  for (const [name, value] of Object.entries(layer)) {
    for (const chunk of Array.isArray(value) ? value : [value]) {
      if (chunk?.['sctp.chunk_type'] !== undefined) chunks.push({ name, ...tidy(chunk) });
    }
  }
  return chunks;
}

/** What makes a chunk worth keeping: its type, flags and parameters, and whether lists are empty. */
function kindOf(chunk) {
  const parameters = (chunk.parameters ?? []).map(
    (p) => `${p.parameter_type ?? p.cause_code ?? ''}:${p.parameter_reconfig_response_result ?? ''}`,
  );
  const gaps = Math.min(2, Number(chunk.sack_number_of_gap_blocks ?? 0));
  const duplicates = Math.min(1, Number(chunk.sack_number_of_duplicated_tsns ?? 0));
  const skipped = 'forward_tsn_sid' in chunk || 'i_forward_tsn_sid' in chunk;
  const isSack = chunk.chunk_type === '3';
  return [
    chunk.chunk_type,
    chunk.chunk_flags,
    gaps,
    duplicates,
    skipped,
    chunk.data_payload_proto_id,
    ...(isSack ? [] : parameters),
  ].join(' ');
}

/** @param source - what the file says about itself. */
function write(name, source) {
  const packets = recorded.filter((bytes) => bytes.length <= MAX_PACKET_BYTES);
  const layers = dissect(packets);
  const seen = new Set();
  const cases = [];
  for (const [i, bytes] of packets.entries()) {
    const chunks = chunksOf(layers[i]);
    const kinds = chunks.map(kindOf);
    if (kinds.every((kind) => seen.has(kind))) continue;
    for (const kind of kinds) seen.add(kind);
    const hex = Buffer.from(bytes).toString('hex');
    cases.push({ name: chunks.map((chunk) => chunk.name).join(' + '), hex, chunks });
  }
  const file = fileURLToPath(new URL(`../vectors/sctp/${name}`, import.meta.url));
  writeFileSync(file, `${JSON.stringify({ source, cases }, null, 1)}\n`);
  console.log(`${name}: ${cases.length} packets of ${recorded.length}`);
  recorded = [];
}

tap();
const only = process.argv[2];
const tshark = execFileSync('tshark', ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split(
  '\n',
)[0];
if (only !== 'usrsctp') {
  await recordChromium();
  const version = execFileSync('chromium', ['--version'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
  write(
    'chromium.json',
    `Captured from headless ${version}, with and without the field trial WebRTC-DataChannelMessageInterleaving, by test/interop/record-sctp-vectors.mjs: SCTP packets as they were inside DTLS. Dissected by ${tshark}.`,
  );
}
if (only !== 'chromium') {
  await recordUsrsctp();
  write(
    'usrsctp.json',
    `Captured from usrsctp 0.9.5 (Debian's libusrsctp2) over UDP, with DATA and with I-DATA, by test/interop/record-sctp-vectors.mjs. Dissected by ${tshark}.`,
  );
}
rmSync(folder, { recursive: true, force: true });
process.exit();
