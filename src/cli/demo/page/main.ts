import { receiveFile, sendFile } from './files.ts';
import { Link } from './link.ts';
import { type PeerInfo, type ServerMessage, Signaling } from './signaling.ts';
import { Conversation, element, formatBytes } from './view.ts';

interface Config {
  readonly room: string;
  readonly turnPort: number;
  readonly username: string;
  readonly credential: string;
}

interface Contact {
  readonly link: Link;
  readonly conversation: Conversation;
  readonly chip: HTMLLabelElement;
}

const status = element('status', HTMLParagraphElement);
const chat = element('chat', HTMLElement);
const peers = element('peers', HTMLDivElement);
const empty = element('empty', HTMLParagraphElement);
const text = element('text', HTMLInputElement);
const file = element('file', HTMLInputElement);
const controls = [
  text,
  element('send', HTMLButtonElement),
  element('attach', HTMLButtonElement),
  element('request', HTMLButtonElement),
];

const contacts = new Map<string, Contact>();
let selected: string | undefined;

const config = (await (await fetch('config.json')).json()) as Config; // written by our own server
const name = `Guest ${String(crypto.getRandomValues(new Uint16Array(1))[0]! % 1000).padStart(3, '0')}`;
const iceHost = `${location.hostname}:${config.turnPort}`;
const iceServers: RTCIceServer[] = [
  { urls: `stun:${iceHost}` },
  { urls: `turn:${iceHost}`, username: config.username, credential: config.credential },
];
element('me', HTMLParagraphElement).textContent = `You are ${name}, in the room “${config.room}”.`;

const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
const signaling = new Signaling(`${scheme}//${location.host}/signaling`, config.room, name, {
  onMessage: (message) => void receive(message),
  onState: (state) => {
    if (state === 'waiting') setStatus('failed', 'Signaling is lost: trying again');
    if (state === 'open') showStatus();
  },
});

async function receive(message: ServerMessage): Promise<void> {
  switch (message.type) {
    case 'welcome':
      // After a reconnection everybody has a new id; open channels live on by themselves, but nobody is known by them.
      for (const id of [...contacts.keys()]) remove(id);
      for (const peer of message.peers) {
        const contact = add(peer);
        contact.conversation.step('signaling', `joined “${message.room}” as ${name}`, false);
        await contact.link.offer(); // whoever comes last offers
      }
      showStatus();
      return;
    case 'peer-joined':
      add(message.peer).conversation.step('signaling', `${message.peer.name} came: waiting for the offer`, false);
      return;
    case 'peer-left': {
      const contact = contacts.get(message.id);
      if (contact?.link.isOpen) contact.conversation.message(`${contact.link.peer.name} left the room`, 'note');
      else remove(message.id);
      return;
    }
    case 'description':
    case 'candidate': {
      const contact = contacts.get(message.from);
      try {
        await contact?.link.handle(message);
      } catch (error) {
        contact?.conversation.fail(String(error));
      }
      return;
    }
    case 'error':
      setStatus('failed', `Signaling: ${message.message}`);
      return;
    case 'pong':
      return;
  }
}

function add(peer: PeerInfo): Contact {
  const conversation = new Conversation();
  const link = new Link(peer, signaling, iceServers, {
    onStep: (step, line, done) => conversation.step(step, line, done),
    onState: (state, reason) => {
      contact.chip.dataset['state'] = state;
      if (state === 'failed') {
        conversation.fail(reason);
        conversation.message(`${peer.name}: ${reason}`, 'note');
      }
      showStatus();
    },
    onText: (line) => conversation.message(line, 'theirs'),
    onBinary: (bytes) => conversation.message(`${formatBytes(bytes.byteLength)} of binary data`, 'theirs'),
    onFile: (channel) => receiveFile(channel, (header) => conversation.transfer(header.name, header.size, false)),
  });
  const contact: Contact = { link, conversation, chip: makeChip(peer) };
  contacts.set(peer.id, contact);
  if (selected === undefined) select(peer.id);
  showStatus();
  return contact;
}

function remove(id: string): void {
  const contact = contacts.get(id);
  if (contact === undefined) return;
  contacts.delete(id);
  contact.link.close();
  contact.conversation.hide();
  contact.chip.remove();
  if (selected === id) {
    selected = undefined;
    const next = contacts.keys().next().value;
    if (next !== undefined) select(next);
    else element('log', HTMLDivElement).replaceChildren(empty);
  }
  showStatus();
}

function makeChip(peer: PeerInfo): HTMLLabelElement {
  const chip = document.createElement('label');
  const radio = document.createElement('input');
  radio.type = 'radio';
  radio.name = 'peer';
  radio.addEventListener('change', () => select(peer.id));
  chip.append(radio, peer.name);
  peers.append(chip);
  return chip;
}

function select(id: string): void {
  for (const contact of contacts.values()) contact.conversation.hide();
  selected = id;
  const contact = contacts.get(id);
  contact?.conversation.show();
  const radio = contact?.chip.querySelector('input');
  if (radio) radio.checked = true;
  showStatus();
}

function current(): Contact | undefined {
  return selected === undefined ? undefined : contacts.get(selected);
}

function showStatus(): void {
  const contact = current();
  for (const control of controls) control.disabled = !contact?.link.isOpen;
  if (contact === undefined) setStatus('connecting', 'In the room, waiting for a peer');
  else if (contact.link.isOpen) setStatus('connected', `Connected with ${contact.link.peer.name}`);
  else if (contact.chip.dataset['state'] === 'failed')
    setStatus('failed', `No connection with ${contact.link.peer.name}`);
  else setStatus('connecting', `Connecting with ${contact.link.peer.name}`);
}

function setStatus(state: 'connecting' | 'connected' | 'failed', line: string): void {
  status.dataset['state'] = state;
  status.textContent = line;
}

function sendText(line: string): void {
  const contact = current();
  if (contact === undefined || !contact.link.isOpen || line === '') return;
  contact.link.sendText(line);
  contact.conversation.message(line, 'mine');
}

async function sendFiles(list: FileList | null): Promise<void> {
  const contact = current();
  if (contact === undefined || list === null || !contact.link.isOpen) return;
  for (const item of [...list]) {
    await sendFile(contact.link.pc, item, contact.conversation.transfer(item.name, item.size, true));
  }
}

element('compose', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  sendText(text.value.trim());
  text.value = '';
});
element('attach', HTMLButtonElement).addEventListener('click', () => file.click());
element('request', HTMLButtonElement).addEventListener('click', () => sendText('/file 10'));
file.addEventListener('change', async () => {
  await sendFiles(file.files);
  file.value = '';
});
for (const type of ['dragenter', 'dragover', 'dragleave', 'drop'] as const) {
  chat.addEventListener(type, (event) => {
    event.preventDefault();
    chat.classList.toggle('dragging', type === 'dragenter' || type === 'dragover');
    if (type === 'drop') void sendFiles(event.dataTransfer?.files ?? null);
  });
}
addEventListener('pagehide', () => {
  for (const { link } of contacts.values()) link.close();
});
