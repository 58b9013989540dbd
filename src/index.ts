/**
 * The W3C's WebRTC classes for data channels, on the layers that the other entry points of this package export one by
 * one. The sans-IO composition below them is `PeerTransport`.
 */
export * from './peer-connection/index.ts';
