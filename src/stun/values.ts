import {
  type ByteReader,
  type ByteWriter,
  DecodeError,
  fromWireAddress,
  type TransportAddress,
  toWireAddress,
  UsageError,
} from '../core/index.ts';
import {
  FAMILY_IPV4,
  FAMILY_IPV6,
  readMappedAddress,
  readXorAddress,
  writeMappedAddress,
  writeXorAddress,
} from './address.ts';

/**
 * How the value of one kind of attribute is read and written. `read` gets a reader bounded to the value and must consume
 * all of it; `write` writes the value without header and padding.
 */
export interface ValueCodec<T> {
  read(r: ByteReader, transactionId: Uint8Array): T;
  write(w: ByteWriter, value: T, transactionId: Uint8Array): void;
}

/** ERROR-CODE (RFC 8489 §14.8). */
export interface StunError {
  /** 300 to 699. */
  readonly code: number;
  /** For people only. */
  readonly reason: string;
}

/** ADDRESS-ERROR-CODE (RFC 8656 §18.12). */
export interface AddressError extends StunError {
  readonly family: 4 | 6;
}

/** One entry of PASSWORD-ALGORITHMS (RFC 8489 §14.11): 1 is MD5, 2 is SHA-256. */
export interface PasswordAlgorithm {
  readonly algorithm: number;
  /** Borrowed from the message when decoded. Empty for both registered algorithms. */
  readonly parameters: Uint8Array;
}

/** CHANGE-REQUEST (RFC 5780 §7.2). */
export interface ChangeRequest {
  readonly changeIp: boolean;
  readonly changePort: boolean;
}

/** ICMP (RFC 8656 §18.13). */
export interface IcmpError {
  readonly type: number;
  readonly code: number;
  /** The next hop's MTU in bytes for "packet too big", zero otherwise. */
  readonly data: number;
}

/** TRANSACTION_TRANSMIT_COUNTER (RFC 7982 §3.1). */
export interface TransmitCounter {
  readonly requests: number;
  readonly responses: number;
}

/** The longest text a receiver must take (RFC 8489 §14.3, §14.8): 763 bytes; a longer one is not decoded. */
export const MAX_TEXT_BYTES = 763;

/** Raw bytes, borrowed when read. */
export const bytesValue: ValueCodec<Uint8Array> = {
  read: (r) => r.rest(),
  write: (w, value) => w.bytes(value),
};

/** Raw bytes of a fixed length, borrowed when read. */
export function fixedBytes(length: number): ValueCodec<Uint8Array> {
  return {
    read: (r) => {
      const value = r.bytes(length, 'value');
      r.expectEnd('value');
      return value;
    },
    write: (w, value) => {
      if (value.length !== length) throw new UsageError(`the value has ${value.length} bytes and must have ${length}`);
      w.bytes(value);
    },
  };
}

/** UTF-8 text of up to {@link MAX_TEXT_BYTES}. */
export const textValue: ValueCodec<string> = {
  read: (r) => {
    if (r.remaining > MAX_TEXT_BYTES) throw new DecodeError('bad-length', 'text', r.pos);
    return r.utf8(r.remaining, 'text');
  },
  write: (w, value) => void w.utf8(value),
};

/** No value: the presence is the message. */
export const flagValue: ValueCodec<true> = {
  read: (r) => {
    r.expectEnd('flag');
    return true;
  },
  write: () => undefined,
};

export const u32Value: ValueCodec<number> = {
  read: (r) => {
    const value = r.u32('value');
    r.expectEnd('value');
    return value;
  },
  write: (w, value) => w.u32(value),
};

export const u64Value: ValueCodec<bigint> = {
  read: (r) => {
    const value = r.u64('value');
    r.expectEnd('value');
    return value;
  },
  write: (w, value) => w.u64(value),
};

/** A 16-bit number and two bytes that are zero and ignored: CHANNEL-NUMBER (RFC 8656 §18.1), RESPONSE-PORT (RFC 5780 §7.5). */
export const u16PaddedValue: ValueCodec<number> = {
  read: (r) => {
    const value = r.u16('value');
    r.skip(2, 'reserved');
    r.expectEnd('value');
    return value;
  },
  write: (w, value) => {
    w.u16(value);
    w.u16(0);
  },
};

/** An 8-bit number and three bytes that are zero and ignored: REQUESTED-TRANSPORT (RFC 8656 §18.8). */
export const u8PaddedValue: ValueCodec<number> = {
  read: (r) => {
    const value = r.u8('value');
    r.skip(3, 'reserved');
    r.expectEnd('value');
    return value;
  },
  write: (w, value) => {
    w.u8(value);
    w.u24(0);
  },
};

/** EVEN-PORT (RFC 8656 §18.7): the value says whether the next-higher port is to be reserved. */
export const evenPortValue: ValueCodec<boolean> = {
  read: (r) => {
    const reserve = (r.u8('even-port') & 0x80) !== 0;
    r.expectEnd('even-port');
    return reserve;
  },
  write: (w, reserve) => w.u8(reserve ? 0x80 : 0),
};

function readFamily(r: ByteReader): 4 | 6 {
  const at = r.pos;
  const family = r.u8('family');
  if (family === FAMILY_IPV4) return 4;
  if (family === FAMILY_IPV6) return 6;
  throw new DecodeError('bad-value', 'family', at);
}

function writeFamily(w: ByteWriter, family: 4 | 6): void {
  w.u8(family === 4 ? FAMILY_IPV4 : FAMILY_IPV6);
}

/** REQUESTED-ADDRESS-FAMILY, ADDITIONAL-ADDRESS-FAMILY (RFC 8656 §18.6, §18.11). */
export const familyValue: ValueCodec<4 | 6> = {
  read: (r) => {
    const family = readFamily(r);
    r.skip(3, 'reserved');
    r.expectEnd('family');
    return family;
  },
  write: (w, family) => {
    writeFamily(w, family);
    w.u24(0);
  },
};

export const addressValue: ValueCodec<TransportAddress> = {
  read: (r) => fromWireAddress(readMappedAddress(r)),
  write: (w, value) => writeMappedAddress(w, toWireAddress(value)),
};

export const xorAddressValue: ValueCodec<TransportAddress> = {
  read: (r, transactionId) => fromWireAddress(readXorAddress(r, transactionId)),
  write: (w, value, transactionId) => writeXorAddress(w, toWireAddress(value), transactionId),
};

/** Class, number and reason phrase, the part that ERROR-CODE and ADDRESS-ERROR-CODE share. */
function readError(r: ByteReader): StunError {
  const at = r.pos;
  const hundreds = r.u8('class') & 0x07; // the other bits are reserved and MUST be ignored
  const number = r.u8('number');
  if (hundreds < 3 || hundreds > 6) throw new DecodeError('bad-value', 'class', at);
  if (number > 99) throw new DecodeError('bad-value', 'number', at + 1);
  return { code: hundreds * 100 + number, reason: textValue.read(r, r.buf) };
}

function writeError(w: ByteWriter, value: StunError): void {
  w.u8(Math.trunc(value.code / 100));
  w.u8(value.code % 100);
  w.utf8(value.reason);
}

/** ERROR-CODE (RFC 8489 §14.8): 21 reserved bits, class, number, reason phrase. */
export const errorValue: ValueCodec<StunError> = {
  read: (r) => {
    r.skip(2, 'reserved');
    return readError(r);
  },
  write: (w, value) => {
    w.u16(0);
    writeError(w, value);
  },
};

/** ADDRESS-ERROR-CODE (RFC 8656 §18.12): family, 13 reserved bits, class, number, reason phrase. */
export const addressErrorValue: ValueCodec<AddressError> = {
  read: (r) => {
    const family = readFamily(r);
    r.skip(1, 'reserved');
    return { family, ...readError(r) };
  },
  write: (w, value) => {
    writeFamily(w, value.family);
    w.u8(0);
    writeError(w, value);
  },
};

/** UNKNOWN-ATTRIBUTES (RFC 8489 §14.13): 16-bit types. */
export const typeListValue: ValueCodec<readonly number[]> = {
  read: (r) => {
    const types: number[] = [];
    while (r.remaining > 0) types.push(r.u16('attribute type'));
    return types;
  },
  write: (w, types) => {
    for (const type of types) w.u16(type);
  },
};

function readPasswordAlgorithm(r: ByteReader): PasswordAlgorithm {
  const algorithm = r.u16('algorithm');
  const length = r.u16('parameters length');
  const parameters = r.bytes(length, 'parameters');
  // The padding behind the last entry is part of the value here, unlike that of an attribute; be lenient when it is not.
  r.skip(Math.min((4 - (length & 3)) & 3, r.remaining), 'padding');
  return { algorithm, parameters };
}

function writePasswordAlgorithm(w: ByteWriter, value: PasswordAlgorithm): void {
  w.u16(value.algorithm);
  w.u16(value.parameters.length);
  w.bytes(value.parameters);
  w.fill((4 - (value.parameters.length & 3)) & 3);
}

/** PASSWORD-ALGORITHM (RFC 8489 §14.12). */
export const passwordAlgorithmValue: ValueCodec<PasswordAlgorithm> = {
  read: (r) => {
    const value = readPasswordAlgorithm(r);
    r.expectEnd('password-algorithm');
    return value;
  },
  write: writePasswordAlgorithm,
};

/** PASSWORD-ALGORITHMS (RFC 8489 §14.11), in the server's order of preference. */
export const passwordAlgorithmsValue: ValueCodec<readonly PasswordAlgorithm[]> = {
  read: (r) => {
    const list: PasswordAlgorithm[] = [];
    while (r.remaining > 0) list.push(readPasswordAlgorithm(r));
    return list;
  },
  write: (w, list) => {
    for (const value of list) writePasswordAlgorithm(w, value);
  },
};

/** CHANGE-REQUEST (RFC 5780 §7.2): a 32-bit word of which two bits mean something. */
export const changeRequestValue: ValueCodec<ChangeRequest> = {
  read: (r) => {
    const flags = u32Value.read(r, r.buf);
    return { changeIp: (flags & 0x04) !== 0, changePort: (flags & 0x02) !== 0 };
  },
  write: (w, value) => w.u32((value.changeIp ? 0x04 : 0) | (value.changePort ? 0x02 : 0)),
};

/** ICMP (RFC 8656 §18.13): 16 reserved bits, 7 of type, 9 of code, 32 of data. */
export const icmpValue: ValueCodec<IcmpError> = {
  read: (r) => {
    r.skip(2, 'reserved');
    const typeAndCode = r.u16('icmp type and code');
    const data = u32Value.read(r, r.buf);
    return { type: typeAndCode >>> 9, code: typeAndCode & 0x1ff, data };
  },
  write: (w, value) => {
    w.u16(0);
    w.u16(((value.type & 0x7f) << 9) | (value.code & 0x1ff));
    w.u32(value.data);
  },
};

/** TRANSACTION_TRANSMIT_COUNTER (RFC 7982 §3.1). */
export const transmitCounterValue: ValueCodec<TransmitCounter> = {
  read: (r) => {
    r.skip(2, 'reserved');
    const value = { requests: r.u8('req'), responses: r.u8('resp') };
    r.expectEnd('resp');
    return value;
  },
  write: (w, value) => {
    w.u16(0);
    w.u8(value.requests);
    w.u8(value.responses);
  },
};
