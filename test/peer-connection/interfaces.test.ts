import { describe, expect, it } from 'vitest';
import { RTCPeerConnection } from '../../src/index.ts';

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

  it('take an object without calling it, and true of an event handler: what it returns may cancel', () => {
    const pc = new RTCPeerConnection();
    let handled = 0;
    const object = { handleEvent: () => handled++ };
    Reflect.set(pc, 'ondatachannel', object);
    expect(pc.ondatachannel).toBe(object);
    pc.dispatchEvent(new Event('datachannel'));
    expect(handled).toBe(0); // HTML: a callback function, not a callback interface
    pc.ondatachannel = () => false;
    expect(pc.dispatchEvent(new Event('datachannel', { cancelable: true }))).toBe(false);
    pc.close();
  });

  it('listeners may be objects, once, and with a signal', () => {
    const pc = new RTCPeerConnection();
    const calls: string[] = [];
    const controller = new AbortController();
    pc.addEventListener('datachannel', { handleEvent: () => calls.push('object') });
    pc.addEventListener('datachannel', () => calls.push('once'), { once: true });
    pc.addEventListener('datachannel', () => calls.push('signal'), { signal: controller.signal });
    pc.dispatchEvent(new Event('datachannel'));
    controller.abort();
    pc.dispatchEvent(new Event('datachannel'));
    expect(calls).toEqual(['object', 'once', 'signal', 'object']);
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
