import { defineInterface, dictionary, domString, enumeration, long, member, unsignedLong } from './web-idl.ts';

const DETAILS = [
  'data-channel-failure',
  'dtls-failure',
  'fingerprint-failure',
  'sctp-failure',
  'sdp-syntax-error',
  'hardware-encoder-not-available',
  'hardware-encoder-error',
] as const;

/** W3C RTCErrorDetailType. */
export type RTCErrorDetailType = (typeof DETAILS)[number];

const toDetail = enumeration(DETAILS, 'RTCErrorDetailType');

/** W3C RTCErrorInit. */
export interface RTCErrorInit {
  errorDetail: RTCErrorDetailType;
  sdpLineNumber?: number;
  sctpCauseCode?: number;
  receivedAlert?: number;
  sentAlert?: number;
}

/** A failure with what the protocols said about it: a DOMException named `OperationError` with details. */
export class RTCErrorImpl extends DOMException {
  readonly #detail: RTCErrorDetailType;
  readonly #sdpLineNumber: number | null;
  readonly #sctpCauseCode: number | null;
  readonly #receivedAlert: number | null;
  readonly #sentAlert: number | null;

  /** @throws {TypeError} without a valid `errorDetail`. */
  constructor(init: RTCErrorInit, message = '') {
    super(domString(message), 'OperationError');
    const given = dictionary(init, 'RTCErrorInit');
    this.#detail = toDetail(given['errorDetail']);
    this.#sdpLineNumber = member(given, 'sdpLineNumber', long, null);
    this.#sctpCauseCode = member(given, 'sctpCauseCode', long, null);
    this.#receivedAlert = member(given, 'receivedAlert', unsignedLong, null);
    this.#sentAlert = member(given, 'sentAlert', unsignedLong, null);
  }

  get errorDetail(): RTCErrorDetailType {
    return this.#detail;
  }

  /** Line of the SDP, the first being 1. */
  get sdpLineNumber(): number | null {
    return this.#sdpLineNumber;
  }

  /** RFC 9260 §3.3.10. */
  get sctpCauseCode(): number | null {
    return this.#sctpCauseCode;
  }

  /** RFC 5246 §7.2: the AlertDescription that the peer sent. */
  get receivedAlert(): number | null {
    return this.#receivedAlert;
  }

  /** RFC 5246 §7.2: the AlertDescription that was sent. */
  get sentAlert(): number | null {
    return this.#sentAlert;
  }

  static {
    defineInterface(RTCErrorImpl, 'RTCError');
  }
}

/** {@link RTCErrorImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCError = Pick<RTCErrorImpl, keyof RTCErrorImpl>;

export const RTCError: {
  readonly prototype: RTCError;
  new (init: RTCErrorInit, message?: string): RTCError;
} = RTCErrorImpl;
