import { defineInterface, dictionary, domString, enumeration, member } from './web-idl.ts';

const SDP_TYPES = ['offer', 'pranswer', 'answer', 'rollback'] as const;

/** W3C RTCSdpType. */
export type RTCSdpType = (typeof SDP_TYPES)[number];

const toSdpType = enumeration(SDP_TYPES, 'RTCSdpType');

/** W3C RTCSessionDescriptionInit. */
export interface RTCSessionDescriptionInit {
  type: RTCSdpType;
  sdp?: string;
}

/** W3C RTCLocalSessionDescriptionInit: without a type the one that fits the signaling state is meant. */
export interface RTCLocalSessionDescriptionInit {
  type?: RTCSdpType;
  sdp?: string;
}

/** A description as `setRemoteDescription` takes it. @throws {TypeError} no or an unknown type. */
export function readDescriptionInit(value: unknown): Required<RTCSessionDescriptionInit> {
  const given = dictionary(value, 'the description');
  const type = member(given, 'type', toSdpType, undefined);
  if (type === undefined) throw new TypeError('the description has no type');
  return { type, sdp: member(given, 'sdp', domString, '') };
}

/** A description as `setLocalDescription` takes it; the type may be missing. @throws {TypeError} an unknown type. */
export function readLocalDescriptionInit(value: unknown): { readonly type?: RTCSdpType; readonly sdp: string } {
  const given = dictionary(value, 'the description');
  const sdp = member(given, 'sdp', domString, '');
  const type = member(given, 'type', toSdpType, undefined);
  return type === undefined ? { sdp } : { type, sdp };
}

/** W3C RTCSessionDescription: an immutable pair of type and SDP text. */
export class RTCSessionDescriptionImpl {
  readonly #type: RTCSdpType;
  readonly #sdp: string;

  constructor(descriptionInitDict: RTCSessionDescriptionInit) {
    const { type, sdp } = readDescriptionInit(descriptionInitDict);
    this.#type = type;
    this.#sdp = sdp;
  }

  get type(): RTCSdpType {
    return this.#type;
  }

  get sdp(): string {
    return this.#sdp;
  }

  toJSON(): RTCSessionDescriptionInit {
    return { type: this.#type, sdp: this.#sdp };
  }

  static {
    defineInterface(RTCSessionDescriptionImpl, 'RTCSessionDescription');
  }
}

/** {@link RTCSessionDescriptionImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCSessionDescription = Pick<RTCSessionDescriptionImpl, keyof RTCSessionDescriptionImpl>;

export const RTCSessionDescription: {
  readonly prototype: RTCSessionDescription;
  new (descriptionInitDict: RTCSessionDescriptionInit): RTCSessionDescription;
} = RTCSessionDescriptionImpl;
