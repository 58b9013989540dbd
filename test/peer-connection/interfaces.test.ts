import { describe, expect, it } from 'vitest';
import * as namespace from '../../src/index.ts';
import { RTCPeerConnection } from '../../src/index.ts';

const purertc = { ...namespace };

/** webrtc.idl: interface, what it inherits from, and its attributes and operations for data channels. */
const INTERFACES: readonly (readonly [keyof typeof purertc, object, string])[] = [
  [
    'RTCPeerConnection',
    EventTarget,
    'createOffer createAnswer setLocalDescription localDescription currentLocalDescription pendingLocalDescription ' +
      'setRemoteDescription remoteDescription currentRemoteDescription pendingRemoteDescription addIceCandidate ' +
      'signalingState iceGatheringState iceConnectionState connectionState canTrickleIceCandidates restartIce ' +
      'getConfiguration setConfiguration close onnegotiationneeded onicecandidate onicecandidateerror ' +
      'onsignalingstatechange oniceconnectionstatechange onicegatheringstatechange onconnectionstatechange ' +
      'sctp createDataChannel ondatachannel getSenders getReceivers getTransceivers addTrack removeTrack ' +
      'addTransceiver ontrack getStats',
  ],
  [
    'RTCDataChannel',
    EventTarget,
    'label ordered maxPacketLifeTime maxRetransmits protocol negotiated id readyState bufferedAmount ' +
      'bufferedAmountLowThreshold onopen onbufferedamountlow onerror onclosing onclose close onmessage binaryType send',
  ],
  ['RTCSessionDescription', Object, 'type sdp toJSON'],
  [
    'RTCIceCandidate',
    Object,
    'candidate sdpMid sdpMLineIndex foundation component priority address protocol port type tcpType relatedAddress ' +
      'relatedPort usernameFragment relayProtocol url toJSON',
  ],
  ['RTCPeerConnectionIceEvent', Event, 'candidate url'],
  ['RTCPeerConnectionIceErrorEvent', Event, 'address port url errorCode errorText'],
  ['RTCCertificate', Object, 'expires getFingerprints'],
  ['RTCDtlsTransport', EventTarget, 'iceTransport state getRemoteCertificates onstatechange onerror'],
  [
    'RTCIceTransport',
    EventTarget,
    'role component state gatheringState getLocalCandidates getRemoteCandidates getSelectedCandidatePair ' +
      'getLocalParameters getRemoteParameters onstatechange ongatheringstatechange onselectedcandidatepairchange',
  ],
  ['RTCSctpTransport', EventTarget, 'transport state maxMessageSize maxChannels onstatechange'],
  ['RTCDataChannelEvent', Event, 'channel'],
  ['RTCError', DOMException, 'errorDetail sdpLineNumber sctpCauseCode receivedAlert sentAlert'],
  ['RTCErrorEvent', Event, 'error'],
];

describe.each(INTERFACES)('%s', (name, parent, members) => {
  const subject = purertc[name] as unknown as { readonly prototype: object; readonly name: string };

  it('inherits as the IDL says, and says its name', () => {
    expect(subject.name).toBe(name);
    const inherited: unknown = Object.getPrototypeOf(subject.prototype);
    expect(inherited).toBe((parent as { readonly prototype: object }).prototype);
    expect(Object.prototype.toString.call(subject.prototype)).toBe(`[object ${name}]`);
  });

  it('has its members on the prototype, enumerable, and no others', () => {
    const own = Object.getOwnPropertyDescriptors(subject.prototype);
    const names = Object.keys(own).filter((key) => key !== 'constructor');
    expect(names.sort()).toEqual(members.split(' ').sort());
    for (const key of names) expect(own[key]?.enumerable).toBe(true);
    for (const key of names.filter((n) => n.startsWith('on'))) expect(own[key]?.set).toBeTypeOf('function');
  });
});

describe('the length of operations', () => {
  // Web IDL: the number of arguments that must be given. Libraries look at it: simple-peer tells getStats' forms apart so.
  it.each([
    ['RTCPeerConnection', { createOffer: 0, createAnswer: 0, setLocalDescription: 0, setRemoteDescription: 1 }],
    ['RTCPeerConnection', { addIceCandidate: 0, createDataChannel: 1, getStats: 0, setConfiguration: 0 }],
    ['RTCPeerConnection', { addTrack: 1, removeTrack: 1, addTransceiver: 1, close: 0 }],
    ['RTCDataChannel', { send: 1, close: 0 }],
  ] as const)('%s %o', (name, lengths) => {
    const { prototype } = purertc[name];
    for (const [operation, length] of Object.entries(lengths)) {
      expect([operation, Reflect.get(prototype, operation).length]).toEqual([operation, length]);
    }
    expect(RTCPeerConnection.length).toBe(0);
    expect(RTCPeerConnection.generateCertificate.length).toBe(1);
  });
});

describe('interfaces without a constructor', () => {
  it.each(['RTCDataChannel', 'RTCCertificate', 'RTCDtlsTransport', 'RTCIceTransport', 'RTCSctpTransport'] as const)(
    'new %s() throws TypeError',
    (name) => {
      const subject: new () => unknown = purertc[name];
      expect(() => new subject()).toThrow(TypeError);
      expect(() => new subject()).toThrow('Illegal constructor');
    },
  );
});

describe('event handler attributes', () => {
  it('keep the place of their first value, take functions, and are null for anything else', () => {
    const pc = new RTCPeerConnection();
    const calls: string[] = [];
    expect(pc.onicecandidate).toBeNull();
    pc.ondatachannel = () => calls.push('replaced');
    pc.addEventListener('datachannel', () => calls.push('listener'));
    const handler = function (this: unknown): void {
      calls.push(this === pc ? 'handler with this' : 'handler');
    };
    pc.ondatachannel = handler;
    expect(pc.ondatachannel).toBe(handler);
    pc.dispatchEvent(new Event('datachannel'));
    expect(calls).toEqual(['handler with this', 'listener']);
    Reflect.set(pc, 'ondatachannel', 'no function');
    expect(pc.ondatachannel).toBeNull();
    pc.dispatchEvent(new Event('datachannel'));
    expect(calls).toEqual(['handler with this', 'listener', 'listener']);
    pc.close();
  });
});

describe('a connection that was only constructed', () => {
  it('has the initial values of the W3C', () => {
    const pc = new RTCPeerConnection();
    expect({
      signalingState: pc.signalingState,
      iceGatheringState: pc.iceGatheringState,
      iceConnectionState: pc.iceConnectionState,
      connectionState: pc.connectionState,
      canTrickleIceCandidates: pc.canTrickleIceCandidates,
      sctp: pc.sctp,
      localDescription: pc.localDescription,
      currentLocalDescription: pc.currentLocalDescription,
      pendingLocalDescription: pc.pendingLocalDescription,
      remoteDescription: pc.remoteDescription,
      currentRemoteDescription: pc.currentRemoteDescription,
      pendingRemoteDescription: pc.pendingRemoteDescription,
    }).toEqual({
      signalingState: 'stable',
      iceGatheringState: 'new',
      iceConnectionState: 'new',
      connectionState: 'new',
      canTrickleIceCandidates: null,
      sctp: null,
      localDescription: null,
      currentLocalDescription: null,
      pendingLocalDescription: null,
      remoteDescription: null,
      currentRemoteDescription: null,
      pendingRemoteDescription: null,
    });
    expect(pc.getConfiguration()).toEqual({
      iceServers: [],
      iceTransportPolicy: 'all',
      bundlePolicy: 'balanced',
      rtcpMuxPolicy: 'require',
      certificates: [],
      iceCandidatePoolSize: 0,
    });
    pc.close();
    expect(pc.signalingState).toBe('closed');
    expect(pc.connectionState).toBe('closed');
    expect(pc.iceConnectionState).toBe('closed');
    pc.close();
  });
});
