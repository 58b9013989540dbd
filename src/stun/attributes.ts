import {
  addressErrorValue,
  addressValue,
  bytesValue,
  changeRequestValue,
  errorValue,
  evenPortValue,
  familyValue,
  fixedBytes,
  flagValue,
  icmpValue,
  passwordAlgorithmsValue,
  passwordAlgorithmValue,
  textValue,
  transmitCounterValue,
  typeListValue,
  u8PaddedValue,
  u16PaddedValue,
  u32Value,
  u64Value,
  type ValueCodec,
  xorAddressValue,
} from './values.ts';

/** One row of the registry. */
export interface AttributeDefinition<T> {
  readonly type: number;
  readonly codec: ValueCodec<T>;
}

function define<T>(type: number, codec: ValueCodec<T>): AttributeDefinition<T> {
  return { type, codec };
}

/** What each attribute's value is in TypeScript; the names are IANA's. */
export interface AttributeValues {
  readonly 'MAPPED-ADDRESS': ReturnType<typeof addressValue.read>;
  readonly 'CHANGE-REQUEST': ReturnType<typeof changeRequestValue.read>;
  readonly 'SOURCE-ADDRESS': ReturnType<typeof addressValue.read>;
  readonly 'CHANGED-ADDRESS': ReturnType<typeof addressValue.read>;
  readonly USERNAME: string;
  /** 20 bytes, borrowed. */
  readonly 'MESSAGE-INTEGRITY': Uint8Array;
  readonly 'ERROR-CODE': ReturnType<typeof errorValue.read>;
  readonly 'UNKNOWN-ATTRIBUTES': readonly number[];
  readonly 'CHANNEL-NUMBER': number;
  /** Seconds. */
  readonly LIFETIME: number;
  readonly 'XOR-PEER-ADDRESS': ReturnType<typeof xorAddressValue.read>;
  /** Borrowed. */
  readonly DATA: Uint8Array;
  readonly REALM: string;
  /** Opaque to clients; text by RFC 8489 §14.10, but echoed byte for byte. Borrowed. */
  readonly NONCE: Uint8Array;
  readonly 'XOR-RELAYED-ADDRESS': ReturnType<typeof xorAddressValue.read>;
  readonly 'REQUESTED-ADDRESS-FAMILY': 4 | 6;
  /** Whether to reserve the next-higher port. */
  readonly 'EVEN-PORT': boolean;
  /** IP protocol number: 17 is UDP, 6 is TCP. */
  readonly 'REQUESTED-TRANSPORT': number;
  readonly 'DONT-FRAGMENT': true;
  /** Borrowed. */
  readonly 'ACCESS-TOKEN': Uint8Array;
  /** 16 to 32 bytes, borrowed. */
  readonly 'MESSAGE-INTEGRITY-SHA256': Uint8Array;
  readonly 'PASSWORD-ALGORITHM': ReturnType<typeof passwordAlgorithmValue.read>;
  /** 32 bytes, borrowed. */
  readonly USERHASH: Uint8Array;
  readonly 'XOR-MAPPED-ADDRESS': ReturnType<typeof xorAddressValue.read>;
  /** 8 bytes, borrowed. */
  readonly 'RESERVATION-TOKEN': Uint8Array;
  readonly PRIORITY: number;
  readonly 'USE-CANDIDATE': true;
  /** Borrowed; the content means nothing. */
  readonly PADDING: Uint8Array;
  readonly 'RESPONSE-PORT': number;
  readonly 'CONNECTION-ID': number;
  readonly 'ADDITIONAL-ADDRESS-FAMILY': 4 | 6;
  readonly 'ADDRESS-ERROR-CODE': ReturnType<typeof addressErrorValue.read>;
  readonly 'PASSWORD-ALGORITHMS': ReturnType<typeof passwordAlgorithmsValue.read>;
  readonly 'ALTERNATE-DOMAIN': string;
  readonly ICMP: ReturnType<typeof icmpValue.read>;
  readonly SOFTWARE: string;
  readonly 'ALTERNATE-SERVER': ReturnType<typeof addressValue.read>;
  readonly TRANSACTION_TRANSMIT_COUNTER: ReturnType<typeof transmitCounterValue.read>;
  /** Seconds (draft of RFC 5780; never sent). */
  readonly 'CACHE-TIMEOUT': number;
  readonly FINGERPRINT: number;
  readonly 'ICE-CONTROLLED': bigint;
  readonly 'ICE-CONTROLLING': bigint;
  readonly 'RESPONSE-ORIGIN': ReturnType<typeof addressValue.read>;
  readonly 'OTHER-ADDRESS': ReturnType<typeof addressValue.read>;
  readonly 'ECN-CHECK': number;
  readonly 'THIRD-PARTY-AUTHORIZATION': string;
  /** Of the web page (RFC 6454 §6.2). */
  readonly ORIGIN: string;
  readonly 'COTURN-ADDITIONAL-ADDRESS-FAMILY': 4 | 6;
  readonly 'COTURN-ADDRESS-ERROR-CODE': ReturnType<typeof addressErrorValue.read>;
  /** Borrowed; empty in an Allocate request (RFC 8016 §3.1). */
  readonly 'MOBILITY-TICKET': Uint8Array;
  readonly 'GOOG-NETWORK-INFO': number;
  /** Borrowed. */
  readonly 'GOOG-LAST-ICE-CHECK-RECEIVED': Uint8Array;
  /** Borrowed. */
  readonly 'GOOG-MISC-INFO': Uint8Array;
  /** 4 bytes, borrowed. */
  readonly 'GOOG-MESSAGE-INTEGRITY-32': Uint8Array;
}

export type AttributeName = keyof AttributeValues;

/** A name with its value, as the encoder takes them. */
export type StunAttribute = { readonly [N in AttributeName]: readonly [N, AttributeValues[N]] }[AttributeName];

/**
 * The IANA registry "STUN Attributes": every attribute that has a meaning today, with its codec, and three that it does not list but coturn
 * speaks. Reserved numbers are in
 * {@link RESERVED_ATTRIBUTES}.
 */
export const STUN_ATTRIBUTES: { readonly [N in AttributeName]: AttributeDefinition<AttributeValues[N]> } = {
  // Comprehension-required (0x0000-0x7FFF)
  'MAPPED-ADDRESS': define(0x0001, addressValue), // RFC 8489 §14.1
  'CHANGE-REQUEST': define(0x0003, changeRequestValue), // RFC 5780 §7.2
  'SOURCE-ADDRESS': define(0x0004, addressValue), // only RFC 3489 §11.2.3, sent to its clients
  'CHANGED-ADDRESS': define(0x0005, addressValue), // only RFC 3489 §11.2.3, sent to its clients
  USERNAME: define(0x0006, textValue), // RFC 8489 §14.3
  'MESSAGE-INTEGRITY': define(0x0008, fixedBytes(20)), // RFC 8489 §14.5
  'ERROR-CODE': define(0x0009, errorValue), // RFC 8489 §14.8
  'UNKNOWN-ATTRIBUTES': define(0x000a, typeListValue), // RFC 8489 §14.13
  'CHANNEL-NUMBER': define(0x000c, u16PaddedValue), // RFC 8656 §18.1
  LIFETIME: define(0x000d, u32Value), // RFC 8656 §18.2
  'XOR-PEER-ADDRESS': define(0x0012, xorAddressValue), // RFC 8656 §18.3
  DATA: define(0x0013, bytesValue), // RFC 8656 §18.4
  REALM: define(0x0014, textValue), // RFC 8489 §14.9
  NONCE: define(0x0015, bytesValue), // RFC 8489 §14.10
  'XOR-RELAYED-ADDRESS': define(0x0016, xorAddressValue), // RFC 8656 §18.5
  'REQUESTED-ADDRESS-FAMILY': define(0x0017, familyValue), // RFC 8656 §18.6
  'EVEN-PORT': define(0x0018, evenPortValue), // RFC 8656 §18.7
  'REQUESTED-TRANSPORT': define(0x0019, u8PaddedValue), // RFC 8656 §18.8
  'DONT-FRAGMENT': define(0x001a, flagValue), // RFC 8656 §18.9
  'ACCESS-TOKEN': define(0x001b, bytesValue), // RFC 7635 §6.2
  'MESSAGE-INTEGRITY-SHA256': define(0x001c, bytesValue), // RFC 8489 §14.6
  'PASSWORD-ALGORITHM': define(0x001d, passwordAlgorithmValue), // RFC 8489 §14.12
  USERHASH: define(0x001e, fixedBytes(32)), // RFC 8489 §14.4
  'XOR-MAPPED-ADDRESS': define(0x0020, xorAddressValue), // RFC 8489 §14.2
  'RESERVATION-TOKEN': define(0x0022, fixedBytes(8)), // RFC 8656 §18.10
  PRIORITY: define(0x0024, u32Value), // RFC 8445 §16.1
  'USE-CANDIDATE': define(0x0025, flagValue), // RFC 8445 §16.1
  PADDING: define(0x0026, bytesValue), // RFC 5780 §7.6
  'RESPONSE-PORT': define(0x0027, u16PaddedValue), // RFC 5780 §7.5
  'CONNECTION-ID': define(0x002a, u32Value), // RFC 6062 §6.2.1
  // Comprehension-optional (0x8000-0xFFFF)
  'ADDITIONAL-ADDRESS-FAMILY': define(0x8000, familyValue), // RFC 8656 §18.11
  'ADDRESS-ERROR-CODE': define(0x8001, addressErrorValue), // RFC 8656 §18.12
  'PASSWORD-ALGORITHMS': define(0x8002, passwordAlgorithmsValue), // RFC 8489 §14.11
  'ALTERNATE-DOMAIN': define(0x8003, textValue), // RFC 8489 §14.16
  ICMP: define(0x8004, icmpValue), // RFC 8656 §18.13
  SOFTWARE: define(0x8022, textValue), // RFC 8489 §14.14
  'ALTERNATE-SERVER': define(0x8023, addressValue), // RFC 8489 §14.15
  TRANSACTION_TRANSMIT_COUNTER: define(0x8025, transmitCounterValue), // RFC 7982 §3.1
  'CACHE-TIMEOUT': define(0x8027, u32Value), // RFC 5780 §9.1 registers it
  FINGERPRINT: define(0x8028, u32Value), // RFC 8489 §14.7
  'ICE-CONTROLLED': define(0x8029, u64Value), // RFC 8445 §16.1
  'ICE-CONTROLLING': define(0x802a, u64Value), // RFC 8445 §16.1
  'RESPONSE-ORIGIN': define(0x802b, addressValue), // RFC 5780 §7.3
  'OTHER-ADDRESS': define(0x802c, addressValue), // RFC 5780 §7.4
  'ECN-CHECK': define(0x802d, u32Value), // RFC 6679 §7.2.2
  'THIRD-PARTY-AUTHORIZATION': define(0x802e, textValue), // RFC 7635 §6.1
  ORIGIN: define(0x802f, textValue), // draft-johnston-tram-stun-origin: expired, but coturn and its clients speak it
  'MOBILITY-TICKET': define(0x8030, bytesValue), // RFC 8016 §3.4
  // The two of RFC 8656 §18.11 and §18.12 under the numbers of their draft, which coturn has kept
  'COTURN-ADDITIONAL-ADDRESS-FAMILY': define(0x8032, familyValue),
  'COTURN-ADDRESS-ERROR-CODE': define(0x8033, addressErrorValue),
  'GOOG-NETWORK-INFO': define(0xc057, u32Value), // Chrome: network id and cost in connectivity checks
  'GOOG-LAST-ICE-CHECK-RECEIVED': define(0xc058, bytesValue),
  'GOOG-MISC-INFO': define(0xc059, bytesValue),
  'GOOG-MESSAGE-INTEGRITY-32': define(0xc060, fixedBytes(4)),
};

/** Numbers that once had a meaning and must not be used (RFC 8489 §18.3.1, RFC 8656 §18, RFC 5766). */
export const RESERVED_ATTRIBUTES: Readonly<Record<number, string>> = {
  0: 'Reserved',
  2: 'RESPONSE-ADDRESS',
  7: 'PASSWORD',
  11: 'REFLECTED-FROM',
  16: 'BANDWIDTH',
  33: 'TIMER-VAL',
};

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(STUN_ATTRIBUTES).map(([name, definition]) => [definition.type, name]),
);

/** The IANA name of an attribute type, or its number in hexadecimal: for logs. */
export function attributeName(type: number): string {
  return NAMES.get(type) ?? `0x${type.toString(16).padStart(4, '0')}`;
}

/** Whether this registry knows the attribute. */
export function isKnownAttribute(type: number): boolean {
  return NAMES.has(type);
}

/** RFC 8489 §14: a receiver that does not understand such an attribute must not process the message. */
export function isComprehensionRequired(type: number): boolean {
  return type < 0x8000;
}
