import {
  Boolean as Asn1Boolean,
  Set as Asn1Set,
  type BaseBlock,
  BitString,
  Constructed,
  fromBER,
  Integer,
  Null,
  ObjectIdentifier,
  OctetString,
  Primitive,
  Sequence,
} from 'asn1js';
import { DecodeError } from '../core/index.ts';
import { checkFraming, DER_MAX_BYTES, DER_MAX_DEPTH, DER_MAX_ELEMENTS } from './der-framing.ts';

/**
 * DER (ITU-T X.690 §10) over asn1js: the only file that knows how that library spells things. Reading is by a cursor
 * that ends with "nothing left", like `ByteReader`; it throws `DecodeError` and nothing else.
 */

const CONTEXT_SPECIFIC = 3;
const LIMITS = {
  maxDepth: DER_MAX_DEPTH,
  maxNodes: DER_MAX_ELEMENTS,
  maxContentLength: DER_MAX_BYTES,
  parseEmbedded: false, // octet and bit strings are read by whoever knows what is inside
};

/** One decoded element. */
export type DerElement = BaseBlock;

/**
 * Decodes exactly one element. What is read from it does not share memory with `bytes`.
 * @throws {DecodeError} `too-short`, `trailing-bytes`, `limit` or `bad-value`.
 */
export function decodeDer(bytes: Uint8Array, field: string): DerElement {
  checkFraming(bytes, field);
  let decoded: ReturnType<typeof fromBER>;
  try {
    decoded = fromBER(bytes, LIMITS);
  } catch {
    throw new DecodeError('bad-value', field, 0);
  }
  if (decoded.offset !== bytes.length || decoded.result.error !== '') throw new DecodeError('bad-value', field, 0);
  return decoded.result;
}

/** The element's own encoding, tag and length included. */
export function elementBytes(element: DerElement): Uint8Array {
  return element.valueBeforeDecodeView;
}

/** A cursor over the children of a SEQUENCE, SET or constructed context tag. */
export class DerCursor {
  readonly #children: readonly DerElement[];
  readonly #field: string;
  #next = 0;

  constructor(children: readonly DerElement[], field: string) {
    this.#children = children;
    this.#field = field;
  }

  get done(): boolean {
    return this.#next >= this.#children.length;
  }

  /** @throws {DecodeError} `missing`. */
  next(field: string): DerElement {
    const child = this.#children[this.#next];
    if (child === undefined) throw new DecodeError('missing', field, 0);
    this.#next++;
    return child;
  }

  /** Takes the next element when it has the context-specific tag `[tag]`, or the kind that `accepts` says. */
  optional(accepts: (element: DerElement) => boolean): DerElement | undefined {
    const child = this.#children[this.#next];
    if (child === undefined || !accepts(child)) return undefined;
    this.#next++;
    return child;
  }

  optionalTag(tag: number): DerElement | undefined {
    return this.optional((element) => isContextTag(element, tag));
  }

  /** @throws {DecodeError} `trailing-bytes` when elements are left. */
  expectEnd(): void {
    if (!this.done) throw new DecodeError('trailing-bytes', this.#field, this.#next);
  }
}

function isContextTag(element: DerElement, tag: number): boolean {
  return element.idBlock.tagClass === CONTEXT_SPECIFIC && element.idBlock.tagNumber === tag;
}

/** The context-specific tag number, or undefined for a universal element. */
export function contextTagOf(element: DerElement): number | undefined {
  return element.idBlock.tagClass === CONTEXT_SPECIFIC ? element.idBlock.tagNumber : undefined;
}

export function readSequence(element: DerElement, field: string): DerCursor {
  if (!(element instanceof Sequence)) throw new DecodeError('bad-type', field, 0);
  return new DerCursor(element.valueBlock.value, field);
}

export function readSet(element: DerElement, field: string): DerCursor {
  if (!(element instanceof Asn1Set)) throw new DecodeError('bad-type', field, 0);
  return new DerCursor(element.valueBlock.value, field);
}

/** The children of an explicit `[tag]`. */
export function readExplicit(element: DerElement, field: string): DerCursor {
  if (!(element instanceof Constructed)) throw new DecodeError('bad-type', field, 0);
  return new DerCursor(element.valueBlock.value, field);
}

/** The content octets of an implicit primitive `[tag]`. */
export function readPrimitive(element: DerElement, field: string): Uint8Array {
  if (!(element instanceof Primitive)) throw new DecodeError('bad-type', field, 0);
  return element.valueBlock.valueHexView;
}

/** The content octets of an INTEGER: two's complement, at least one octet, minimal. */
export function readInteger(element: DerElement, field: string): Uint8Array {
  if (!(element instanceof Integer)) throw new DecodeError('bad-type', field, 0);
  const content = integerContent(element);
  if (content.length === 0) throw new DecodeError('too-short', field, 0);
  const [first = 0, second = 0] = content;
  // X.690 §8.3.2: the first nine bits are neither all zero nor all one.
  if (content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw new DecodeError('bad-value', field, 0);
  }
  return content;
}

/** asn1js normalises the value of an INTEGER while it reads; the content as it stood is behind tag and length. */
function integerContent(element: Integer): Uint8Array {
  return element.valueBeforeDecodeView.subarray(element.idBlock.blockLength + element.lenBlock.blockLength);
}

/** A non-negative INTEGER as big-endian bytes without the sign octet. */
export function readUnsigned(element: DerElement, field: string): Uint8Array {
  const content = readInteger(element, field);
  if (content[0]! >= 0x80) throw new DecodeError('bad-value', field, 0);
  return content.length > 1 && content[0] === 0 ? content.subarray(1) : content;
}

/** An INTEGER that fits into 31 bits, such as a version. */
export function readSmallInteger(element: DerElement, field: string): number {
  const content = readUnsigned(element, field);
  if (content.length > 4 || (content.length === 4 && content[0]! >= 0x80)) throw new DecodeError('bad-value', field, 0);
  let value = 0;
  for (const byte of content) value = (value << 8) | byte;
  return value;
}

export function readOid(element: DerElement, field: string): string {
  if (!(element instanceof ObjectIdentifier)) throw new DecodeError('bad-type', field, 0);
  try {
    return element.getValue();
  } catch {
    throw new DecodeError('bad-value', field, 0);
  }
}

export function readBoolean(element: DerElement, field: string): boolean {
  if (!(element instanceof Asn1Boolean)) throw new DecodeError('bad-type', field, 0);
  return element.getValue();
}

export function isBoolean(element: DerElement): boolean {
  return element instanceof Asn1Boolean;
}

export function isInteger(element: DerElement): boolean {
  return element instanceof Integer;
}

export function isNull(element: DerElement): boolean {
  return element instanceof Null;
}

export function readOctetString(element: DerElement, field: string): Uint8Array {
  if (!(element instanceof OctetString) || element.idBlock.isConstructed) throw new DecodeError('bad-type', field, 0);
  return element.valueBlock.valueHexView;
}

/** A BIT STRING of whole octets, as keys and signatures are. */
export function readBitString(element: DerElement, field: string): Uint8Array {
  const { bits, unusedBits } = readBits(element, field);
  if (unusedBits !== 0) throw new DecodeError('bad-value', field, 0);
  return bits;
}

/** A BIT STRING with its count of unused trailing bits, as flags are. */
export function readBits(
  element: DerElement,
  field: string,
): { readonly bits: Uint8Array; readonly unusedBits: number } {
  if (!(element instanceof BitString) || element.idBlock.isConstructed) throw new DecodeError('bad-type', field, 0);
  const unusedBits = element.valueBlock.unusedBits;
  const bits = element.valueBlock.valueHexView;
  if (unusedBits > 7 || (unusedBits > 0 && bits.length === 0)) throw new DecodeError('bad-value', field, 0);
  return { bits, unusedBits };
}

/** Encodes an element to bytes. */
export function encodeDer(element: DerElement): Uint8Array {
  return new Uint8Array(element.toBER());
}

export function sequence(...value: DerElement[]): DerElement {
  return new Sequence({ value });
}

export function set(...value: DerElement[]): DerElement {
  return new Asn1Set({ value });
}

export function oid(value: string): DerElement {
  return new ObjectIdentifier({ value });
}

export function nil(): DerElement {
  return new Null();
}

export function boolean(value: boolean): DerElement {
  return new Asn1Boolean({ value });
}

/** A non-negative INTEGER of big-endian bytes; leading zeros are dropped and the sign octet added where needed. */
export function unsigned(bytes: Uint8Array): DerElement {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const magnitude = bytes.subarray(start);
  const signed = new Uint8Array(magnitude.length + 1);
  signed.set(magnitude, 1);
  return new Integer({ valueHex: magnitude.length > 0 && magnitude[0]! < 0x80 ? magnitude : signed });
}

export function smallInteger(value: number): DerElement {
  return new Integer({ value });
}

export function octetString(valueHex: Uint8Array): DerElement {
  return new OctetString({ valueHex });
}

export function bitString(valueHex: Uint8Array, unusedBits = 0): DerElement {
  return new BitString({ valueHex, unusedBits });
}

/** An explicit `[tag]`. */
export function explicit(tag: number, ...value: DerElement[]): DerElement {
  return new Constructed({ idBlock: { tagClass: CONTEXT_SPECIFIC, tagNumber: tag }, value });
}

/** An implicit primitive `[tag]`. */
export function implicit(tag: number, valueHex: Uint8Array): DerElement {
  return new Primitive({ idBlock: { tagClass: CONTEXT_SPECIFIC, tagNumber: tag }, valueHex });
}
