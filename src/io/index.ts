export { outliveAcceptErrors } from './accept-errors.ts';
export { ConnectionsPerSource } from './connections-per-source.ts';
export { systemSetsDontFragment } from './dont-fragment.ts';
export * from './interface-monitor.ts';
export * from './mdns.ts';
export * from './node-crypto.ts';
export { openPcap, type PcapWriter, pcapHeader, pcapRecord, udpPacket } from './pcap.ts';
export { plainBytes } from './plain-bytes.ts';
export * from './platform.ts';
export { socketIp } from './socket-ip.ts';
export { Strangers } from './strangers.ts';
export {
  CONNECT_TIMEOUT_MS,
  connectTcp,
  connectTls,
  MAX_UNSENT_STREAM_BYTES,
} from './tcp-connection.ts';
export * from './tcp-listener.ts';
export * from './timer-queue.ts';
export * from './udp.ts';
export { bindSharedUdpSocket, bindUdpSocket, localAddressTowards, type UdpSocketOptions } from './udp-socket.ts';
export * from './wake-timer.ts';
export { type DialingCore, WebSocketClient, type WebSocketClientOptions } from './websocket.ts';
export {
  boundAddress,
  type ConnectionsCore,
  type WebSocketListenOptions,
  WebSocketServer,
  type WebSocketServerOptions,
} from './websocket-server.ts';
