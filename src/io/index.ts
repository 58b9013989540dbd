export * from './node-crypto.ts';
export * from './platform.ts';
export * from './timer-queue.ts';
export * from './udp.ts';
export { bindUdpSocket } from './udp-socket.ts';
