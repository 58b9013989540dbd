/** One peer in a process of its own, commanded over IPC: `{id, command, args}` in, `{id, result | error}` out. */
import { createPeer } from './peer-commands.mjs';
import { serveCommands, usage } from './peer-process.mjs';
import { loadSubject } from './subjects.mjs';

const { RTCPeerConnection, configuration, early } = await loadSubject(process.argv[2]);
serveCommands(createPeer(RTCPeerConnection, configuration, usage, early));
