import { RTCError } from './rtc-error.ts';
import { RTCIceCandidate } from './rtc-ice-candidate.ts';
import {
  defineInterface,
  dictionary,
  domString,
  instanceOf,
  member,
  nullable,
  type Relaxed,
  requireArguments,
  unsignedShort,
  usvString,
} from './web-idl.ts';

const toCandidate = nullable(instanceOf<RTCIceCandidate>(RTCIceCandidate, 'candidate'));
const toAddress = nullable(domString);
const toPort = nullable(unsignedShort);
const toUrl = nullable(usvString);

/** DOM EventInit. */
export interface EventInit {
  bubbles?: boolean;
  cancelable?: boolean;
  composed?: boolean;
}

/** W3C RTCPeerConnectionIceEventInit. */
export interface RTCPeerConnectionIceEventInit extends EventInit {
  candidate?: RTCIceCandidate | null;
  url?: string | null;
}

/** `icecandidate`: a candidate to signal; the empty candidate ends a generation, null ends gathering. */
export class RTCPeerConnectionIceEventImpl extends Event {
  readonly #candidate: RTCIceCandidate | null;
  readonly #url: string | null;

  constructor(type: string, eventInitDict: RTCPeerConnectionIceEventInit = {}) {
    // biome-ignore lint/complexity/noArguments: nothing at all is a TypeError
    requireArguments(arguments.length, 1);
    super(type, eventInitDict);
    const given = dictionary(eventInitDict, 'eventInitDict');
    this.#candidate = toCandidate(given['candidate']);
    this.#url = toUrl(given['url']);
  }

  get candidate(): RTCIceCandidate | null {
    return this.#candidate;
  }

  get url(): string | null {
    return this.#url;
  }

  static {
    defineInterface(RTCPeerConnectionIceEventImpl, 'RTCPeerConnectionIceEvent');
  }
}

/** {@link RTCPeerConnectionIceEventImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCPeerConnectionIceEvent = Relaxed<RTCPeerConnectionIceEventImpl, 'url'>;

export const RTCPeerConnectionIceEvent: {
  readonly prototype: RTCPeerConnectionIceEvent;
  new (type: string, eventInitDict?: RTCPeerConnectionIceEventInit): RTCPeerConnectionIceEvent;
} = RTCPeerConnectionIceEventImpl;

/** W3C RTCPeerConnectionIceErrorEventInit. */
export interface RTCPeerConnectionIceErrorEventInit extends EventInit {
  address?: string | null;
  port?: number | null;
  url?: string;
  errorCode: number;
  errorText?: string;
}

/** `icecandidateerror`: a STUN or TURN server refused or did not answer (error code 701). */
export class RTCPeerConnectionIceErrorEventImpl extends Event {
  readonly #address: string | null;
  readonly #port: number | null;
  readonly #url: string;
  readonly #errorCode: number;
  readonly #errorText: string;

  constructor(type: string, eventInitDict: RTCPeerConnectionIceErrorEventInit) {
    super(type, eventInitDict);
    const given = dictionary(eventInitDict, 'eventInitDict');
    if (given['errorCode'] === undefined) throw new TypeError('errorCode is missing');
    this.#address = toAddress(given['address']);
    this.#port = toPort(given['port']);
    this.#url = member(given, 'url', usvString, '');
    this.#errorCode = unsignedShort(given['errorCode']);
    this.#errorText = member(given, 'errorText', usvString, '');
  }

  /** The local address the server was asked from. */
  get address(): string | null {
    return this.#address;
  }

  get port(): number | null {
    return this.#port;
  }

  get url(): string {
    return this.#url;
  }

  /** A STUN error code (RFC 8489 §14.8), or 701 where the server could not be reached. */
  get errorCode(): number {
    return this.#errorCode;
  }

  get errorText(): string {
    return this.#errorText;
  }

  static {
    defineInterface(RTCPeerConnectionIceErrorEventImpl, 'RTCPeerConnectionIceErrorEvent');
  }
}

/** {@link RTCPeerConnectionIceErrorEventImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCPeerConnectionIceErrorEvent = Pick<
  RTCPeerConnectionIceErrorEventImpl,
  keyof RTCPeerConnectionIceErrorEventImpl
>;

export const RTCPeerConnectionIceErrorEvent: {
  readonly prototype: RTCPeerConnectionIceErrorEvent;
  new (type: string, eventInitDict: RTCPeerConnectionIceErrorEventInit): RTCPeerConnectionIceErrorEvent;
} = RTCPeerConnectionIceErrorEventImpl;

/** W3C RTCErrorEventInit. */
export interface RTCErrorEventInit extends EventInit {
  error: RTCError;
}

const toError = instanceOf<RTCError>(RTCError, 'error');

/** `error` of a data channel or a DTLS transport. */
export class RTCErrorEventImpl extends Event {
  readonly #error: RTCError;

  constructor(type: string, eventInitDict: RTCErrorEventInit) {
    super(type, eventInitDict);
    this.#error = toError(dictionary(eventInitDict, 'eventInitDict')['error']);
  }

  get error(): RTCError {
    return this.#error;
  }

  static {
    defineInterface(RTCErrorEventImpl, 'RTCErrorEvent');
  }
}

/** {@link RTCErrorEventImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCErrorEvent = Pick<RTCErrorEventImpl, keyof RTCErrorEventImpl>;

export const RTCErrorEvent: {
  readonly prototype: RTCErrorEvent;
  new (type: string, eventInitDict: RTCErrorEventInit): RTCErrorEvent;
} = RTCErrorEventImpl;
