import { DecodeError, privateSlot } from '../core/index.ts';
import { formatCandidate, type IceCandidate, parseCandidate } from '../ice/index.ts';
import {
  defineInterface,
  dictionary,
  domString,
  enumeration,
  member,
  nullable,
  type Relaxed,
  unsignedShort,
  usvString,
} from './web-idl.ts';

/** W3C RTCIceCandidateInit. */
export interface RTCIceCandidateInit {
  candidate?: string;
  sdpMid?: string | null;
  sdpMLineIndex?: number | null;
  usernameFragment?: string | null;
}

/** W3C RTCLocalIceCandidateInit. */
export interface RTCLocalIceCandidateInit extends RTCIceCandidateInit {
  relayProtocol?: RTCIceServerTransportProtocol | null;
  url?: string | null;
}

export type RTCIceComponent = 'rtp' | 'rtcp';
export type RTCIceProtocol = 'udp' | 'tcp';
export type RTCIceCandidateType = 'host' | 'srflx' | 'prflx' | 'relay';
export type RTCIceTcpCandidateType = 'active' | 'passive' | 'so';
export type RTCIceServerTransportProtocol = (typeof SERVER_PROTOCOLS)[number];

const SERVER_PROTOCOLS = ['udp', 'tcp', 'tls'] as const;

const toText = nullable(domString);
const toIndex = nullable(unsignedShort);
const toUrl = nullable(usvString);
const toServerProtocol = nullable(enumeration(SERVER_PROTOCOLS, 'RTCIceServerTransportProtocol'));

/** What `toJSON` returns and `addIceCandidate` of the peer takes. */
export interface CandidateJson {
  readonly candidate: string;
  readonly sdpMid: string | null;
  readonly sdpMLineIndex: number | null;
  readonly usernameFragment: string | null;
}

/** Reads the dictionary of `addIceCandidate` and of the constructor. @throws {TypeError} a value of a wrong type. */
export function readCandidateInit(value: unknown): CandidateJson {
  const given = dictionary(value, 'the candidate');
  return {
    candidate: member(given, 'candidate', domString, ''),
    sdpMid: toText(given['sdpMid']),
    sdpMLineIndex: toIndex(given['sdpMLineIndex']),
    usernameFragment: toText(given['usernameFragment']),
  };
}

/**
 * Peers write "" for what they do not know: pion's `ICECandidate.ToJSON()` as the mid, beside an index, and Chromium's
 * `RTCIceCandidate.toJSON()` for both. No section and no generation has such a name, so that browsers take them for null.
 */
export function withoutEmptyNames(init: CandidateJson): CandidateJson {
  const namesSection = init.sdpMid !== '' || init.sdpMLineIndex === null;
  return { ...init, sdpMid: namesSection ? init.sdpMid : null, usernameFragment: init.usernameFragment || null };
}

/** The fields of a candidate line; undefined where it is not one (then all fields of the object are null). */
function tryParse(candidate: string): IceCandidate | undefined {
  if (candidate === '') return undefined;
  try {
    return parseCandidate(candidate);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Candidates of the agent by the dictionary that is made of them: their fields need not be read from text again. */
const known = privateSlot<object, IceCandidate>();

/** W3C RTCIceCandidate: the candidate text with its fields (RFC 8839 §5.1). */
export class RTCIceCandidateImpl {
  readonly #init: CandidateJson;
  readonly #parsed: IceCandidate | undefined;
  readonly #relayProtocol: RTCIceServerTransportProtocol | null;
  readonly #url: string | null;

  /** @throws {TypeError} when `sdpMid` and `sdpMLineIndex` are both null. */
  constructor(candidateInitDict: RTCLocalIceCandidateInit = {}) {
    const init = readCandidateInit(candidateInitDict);
    if (init.sdpMid === null && init.sdpMLineIndex === null) {
      throw new TypeError('sdpMid and sdpMLineIndex are both null');
    }
    this.#init = init;
    // A candidate text that does not parse leaves its fields null; addIceCandidate is what refuses it.
    const given = dictionary(candidateInitDict, 'the candidate');
    this.#parsed = known.get(given) ?? tryParse(init.candidate);
    this.#relayProtocol = toServerProtocol(given['relayProtocol']);
    this.#url = toUrl(given['url']);
  }

  get candidate(): string {
    return this.#init.candidate;
  }

  get sdpMid(): string | null {
    return this.#init.sdpMid;
  }

  get sdpMLineIndex(): number | null {
    return this.#init.sdpMLineIndex;
  }

  get foundation(): string | null {
    return this.#parsed?.foundation ?? null;
  }

  get component(): RTCIceComponent | null {
    if (this.#parsed === undefined) return null;
    return this.#parsed.component === 1 ? 'rtp' : 'rtcp';
  }

  get priority(): number | null {
    return this.#parsed?.priority ?? null;
  }

  get address(): string | null {
    return this.#parsed?.address ?? null;
  }

  get protocol(): RTCIceProtocol | null {
    return this.#parsed?.protocol ?? null;
  }

  get port(): number | null {
    return this.#parsed?.port ?? null;
  }

  get type(): RTCIceCandidateType | null {
    return this.#parsed?.type ?? null;
  }

  get tcpType(): RTCIceTcpCandidateType | null {
    return this.#parsed?.tcpType ?? null;
  }

  get relatedAddress(): string | null {
    return this.#parsed?.relatedAddress ?? null;
  }

  get relatedPort(): number | null {
    return this.#parsed?.relatedPort ?? null;
  }

  get usernameFragment(): string | null {
    return this.#init.usernameFragment;
  }

  /** How a relayed candidate reaches its TURN server; null for others. */
  get relayProtocol(): RTCIceServerTransportProtocol | null {
    return this.#relayProtocol;
  }

  /** The server that a local reflexive or relayed candidate came from. */
  get url(): string | null {
    return this.#url;
  }

  toJSON(): RTCIceCandidateInit {
    return { ...this.#init };
  }

  static {
    defineInterface(RTCIceCandidateImpl, 'RTCIceCandidate');
  }
}

/** {@link RTCIceCandidateImpl} without its private part: assignable to and from the type of that name in TypeScript's DOM library. */
export type RTCIceCandidate = Relaxed<RTCIceCandidateImpl, 'url' | 'relayProtocol'>;

export const RTCIceCandidate: {
  readonly prototype: RTCIceCandidate;
  new (candidateInitDict?: RTCLocalIceCandidateInit): RTCIceCandidate;
} = RTCIceCandidateImpl;

/** The W3C object of a candidate of the agent. One that only checks have revealed has no text (W3C §4.8.1.2, "candidate"). */
export function toRtcCandidate(candidate: IceCandidate, sdpMid: string, sdpMLineIndex: number): RTCIceCandidate {
  const { relayProtocol, url } = candidate;
  const init: RTCLocalIceCandidateInit = {
    candidate: candidate.type === 'prflx' ? '' : formatCandidate(candidate),
    sdpMid,
    sdpMLineIndex,
    usernameFragment: candidate.usernameFragment ?? null,
    url: url ?? null,
    relayProtocol: relayProtocol === 'tcp' || relayProtocol === 'tls' || relayProtocol === 'udp' ? relayProtocol : null,
  };
  known.set(init, candidate);
  return new RTCIceCandidate(init);
}
