/**
 * Installs the W3C classes on `globalThis`, as a browser has them: `import 'purertc/polyfill'` before a program that
 * expects `RTCPeerConnection` and the others to be there. Classes that the runtime has already are left alone.
 */
import {
  RTCCertificate,
  RTCDataChannel,
  RTCDataChannelEvent,
  RTCDtlsTransport,
  RTCError,
  RTCErrorEvent,
  RTCIceCandidate,
  RTCIceTransport,
  RTCPeerConnection,
  RTCPeerConnectionIceErrorEvent,
  RTCPeerConnectionIceEvent,
  RTCSctpTransport,
  RTCSessionDescription,
  RTCStatsReport,
} from '../index.ts';

const CLASSES = {
  RTCCertificate,
  RTCDataChannel,
  RTCDataChannelEvent,
  RTCDtlsTransport,
  RTCError,
  RTCErrorEvent,
  RTCIceCandidate,
  RTCIceTransport,
  RTCPeerConnection,
  RTCPeerConnectionIceErrorEvent,
  RTCPeerConnectionIceEvent,
  RTCSctpTransport,
  RTCSessionDescription,
  RTCStatsReport,
};

for (const [name, value] of Object.entries(CLASSES)) {
  // As Web IDL installs interface objects: writable, configurable, not enumerable.
  if (!(name in globalThis)) Object.defineProperty(globalThis, name, { configurable: true, writable: true, value });
}
