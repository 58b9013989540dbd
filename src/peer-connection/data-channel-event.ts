import type { EventInit } from './events.ts';
import type { RTCDataChannel } from './rtc-data-channel.ts';
import { defineInterface, dictionary } from './web-idl.ts';

/** W3C RTCDataChannelEventInit. */
export interface RTCDataChannelEventInit extends EventInit {
  channel: RTCDataChannel;
}

/** `datachannel`: the peer opened a channel. */
export class RTCDataChannelEventImpl extends Event {
  readonly #channel: RTCDataChannel;

  constructor(type: string, eventInitDict: RTCDataChannelEventInit) {
    super(type, eventInitDict);
    if (dictionary(eventInitDict, 'eventInitDict')['channel'] === undefined) throw new TypeError('channel is missing');
    this.#channel = eventInitDict.channel;
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
