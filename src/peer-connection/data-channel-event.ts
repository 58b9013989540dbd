import type { EventInit } from './events.ts';
import { RTCDataChannel } from './rtc-data-channel.ts';
import { defineInterface, dictionary, instanceOf } from './web-idl.ts';

/** W3C RTCDataChannelEventInit. */
export interface RTCDataChannelEventInit extends EventInit {
  channel: RTCDataChannel;
}

const toChannel = instanceOf<RTCDataChannel>(RTCDataChannel, 'channel');

/** `datachannel`: the peer opened a channel. */
export class RTCDataChannelEventImpl extends Event {
  readonly #channel: RTCDataChannel;

  constructor(type: string, eventInitDict: RTCDataChannelEventInit) {
    super(type, eventInitDict);
    this.#channel = toChannel(dictionary(eventInitDict, 'eventInitDict')['channel']);
  }

  get channel(): RTCDataChannel {
    return this.#channel;
  }

  static {
    defineInterface(RTCDataChannelEventImpl, 'RTCDataChannelEvent');
  }
}

/** {@link RTCDataChannelEventImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCDataChannelEvent = Pick<RTCDataChannelEventImpl, keyof RTCDataChannelEventImpl>;

export const RTCDataChannelEvent: {
  readonly prototype: RTCDataChannelEvent;
  new (type: string, eventInitDict: RTCDataChannelEventInit): RTCDataChannelEvent;
} = RTCDataChannelEventImpl;
