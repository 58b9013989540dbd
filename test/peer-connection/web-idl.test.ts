/**
 * The classes held against webrtc.idl, member by member, as the rules of Web IDL §3.7 "interfaces" shape them in
 * JavaScript: where each property is, its attributes, names and lengths, and what a wrong `this` or too few arguments get.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as namespace from '../../src/index.ts';

interface Operation {
  readonly name: string;
  readonly required: number;
  readonly isStatic: boolean;
  readonly promise: boolean;
}

interface Attribute {
  readonly name: string;
  readonly readonly: boolean;
}

interface Interface {
  readonly parent: string | undefined;
  /** Arguments that the constructor requires; undefined where there is none. */
  readonly constructorArguments: number | undefined;
  readonly attributes: readonly Attribute[];
  readonly operations: readonly Operation[];
}

const MEDIA = ['RTCRtpSender', 'RTCRtpReceiver', 'RTCRtpTransceiver', 'RTCTrackEvent', 'RTCDTMFSender'];
const NOT_HERE = [...MEDIA, 'RTCDTMFToneChangeEvent'];

function requiredArguments(list: string): number {
  const given = list
    .replace(/\([^()]*\)|<[^<>]*>/g, '')
    .split(',')
    .map((argument) => argument.trim());
  return given.filter((argument) => argument !== '' && !argument.startsWith('optional') && !argument.includes('...'))
    .length;
}

/** What of the IDL's grammar the file uses. */
function parseIdl(text: string): Map<string, Interface> {
  const bare = text.replace(/\/\/.*$/gm, '').replace(/\[[^\]]*\]/g, '');
  const interfaces = new Map<string, Interface>();
  for (const [, name = '', parent, body = ''] of bare.matchAll(
    /\binterface (\w+)\s*(?::\s*(\w+)\s*)?\{([^{}]*(?:\{\}[^{}]*)*)\};/g,
  )) {
    const known = interfaces.get(name);
    const attributes = [...(known?.attributes ?? [])];
    const operations = new Map((known?.operations ?? []).map((operation) => [operation.name, operation]));
    let constructorArguments = known?.constructorArguments;
    for (const member of body.split(';').map((part) => part.trim().replace(/\s+/g, ' '))) {
      const attribute = /^(readonly )?attribute .*?(\w+)$/.exec(member);
      const operation = /^(static )?(.*?)\b(\w+) ?\((.*)\)$/.exec(member);
      if (attribute !== null) attributes.push({ name: attribute[2] ?? '', readonly: attribute[1] !== undefined });
      else if (operation !== null) {
        const [, isStatic, type = '', called = '', list = ''] = operation;
        const required = requiredArguments(list);
        if (called === 'constructor') constructorArguments = required;
        else if (required <= (operations.get(called)?.required ?? required)) {
          const promise = type.startsWith('Promise');
          operations.set(called, { name: called, required, promise, isStatic: isStatic !== undefined });
        }
      } else if (/^readonly maplike/.test(member)) {
        attributes.push({ name: 'size', readonly: true });
        for (const [called, required] of [
          ['entries', 0],
          ['forEach', 1],
          ['get', 1],
          ['has', 1],
          ['keys', 0],
          ['values', 0],
        ] as const)
          operations.set(called, { name: called, required, promise: false, isStatic: false });
      } else if (member !== '') throw new Error(`not understood: ${member}`);
    }
    interfaces.set(name, {
      parent: known?.parent ?? parent,
      constructorArguments,
      attributes,
      operations: [...operations.values()],
    });
  }
  return interfaces;
}

const file = new URL('../vectors/w3c/webrtc.idl', import.meta.url);
const INTERFACES = [...parseIdl(readFileSync(file, 'utf8'))].filter(([name]) => !NOT_HERE.includes(name));

type Constructor = (new (...given: unknown[]) => object) & { readonly prototype: object };

function find(name: string): Constructor {
  const found: unknown = Reflect.get(namespace, name) ?? Reflect.get(globalThis, name);
  if (typeof found !== 'function') throw new Error(`${name} is not here`);
  return found as Constructor;
}

/** TypeError, as an exception or as a rejection. */
async function expectTypeError(call: () => unknown, promise: boolean): Promise<void> {
  if (!promise) expect(call).toThrow(TypeError);
  else await expect(call()).rejects.toThrow(TypeError);
}

/** Name and length. */
function signature(value: unknown): string {
  return typeof value === 'function' ? `${value.name} ${value.length}` : `${value}`;
}

it('the IDL has been read whole', () => {
  expect(INTERFACES.map(([name]) => name)).toEqual([
    'RTCPeerConnection',
    'RTCSessionDescription',
    'RTCIceCandidate',
    'RTCPeerConnectionIceEvent',
    'RTCPeerConnectionIceErrorEvent',
    'RTCCertificate',
    'RTCDtlsTransport',
    'RTCIceTransport',
    'RTCIceCandidatePair',
    'RTCSctpTransport',
    'RTCDataChannel',
    'RTCDataChannelEvent',
    'RTCStatsReport',
    'RTCError',
    'RTCErrorEvent',
  ]);
  const count = INTERFACES.reduce(
    (sum, [, { attributes, operations }]) => sum + attributes.length + operations.length,
    0,
  );
  expect(count).toBe(125);
});

describe.each(INTERFACES)('%s', (name, { parent, constructorArguments, attributes, operations }) => {
  const subject = find(name);
  const own = Object.getOwnPropertyDescriptors(subject.prototype) as Record<string, PropertyDescriptor>;

  it('is an interface object with its prototype object', () => {
    const descriptors = Object.getOwnPropertyDescriptors(subject) as Record<string, PropertyDescriptor>;
    expect(descriptors['name']).toEqual({ value: name, writable: false, enumerable: false, configurable: true });
    expect(descriptors['length']).toMatchObject({ value: constructorArguments ?? 0, writable: false });
    expect(descriptors['prototype']).toMatchObject({ writable: false, enumerable: false, configurable: false });
    const inherited = parent === undefined ? undefined : find(parent);
    expect(Object.getPrototypeOf(subject)).toBe(inherited ?? Function.prototype);
    expect(Object.getPrototypeOf(subject.prototype)).toBe(inherited?.prototype ?? Object.prototype);
    expect(own['constructor']).toEqual({ value: subject, writable: true, enumerable: false, configurable: true });
    const tag = Object.getOwnPropertyDescriptor(subject.prototype, Symbol.toStringTag);
    expect(tag).toEqual({ value: name, writable: false, enumerable: false, configurable: true });
    expect(() => Reflect.apply(subject, undefined, [])).toThrow(TypeError);
  });

  it(constructorArguments === undefined ? 'cannot be constructed' : 'requires the arguments of its constructor', () => {
    if (constructorArguments === undefined) expect(() => new subject()).toThrow('Illegal constructor');
    else {
      for (let given = 0; given < constructorArguments; given++) {
        expect(() => new subject(...Array.from({ length: given }, () => ''))).toThrow(TypeError);
      }
    }
  });

  it('has these members on its prototype and no others', () => {
    const instanceMembers = operations.filter(({ isStatic }) => !isStatic);
    const names = [...attributes, ...instanceMembers].map((member) => member.name);
    expect(
      Object.keys(own)
        .filter((key) => key !== 'constructor')
        .sort(),
    ).toEqual(names.sort());
  });

  it.each(attributes)('attribute $name', ({ name: attribute, readonly }) => {
    const descriptor = own[attribute];
    expect(descriptor).toMatchObject({ enumerable: true, configurable: true });
    expect(signature(descriptor?.get)).toBe(`get ${attribute} 0`);
    for (const wrong of [subject.prototype, {}, undefined]) {
      expect(() => Reflect.apply(descriptor!.get!, wrong, [])).toThrow(TypeError);
    }
    if (readonly) expect(descriptor?.set).toBeUndefined();
    else {
      expect(signature(descriptor?.set)).toBe(`set ${attribute} 1`);
      expect(() => Reflect.apply(descriptor!.set!, {}, [null])).toThrow(TypeError);
    }
  });

  it.each(operations)('operation $name', async ({ name: operation, required, promise, isStatic }) => {
    const holder = isStatic ? subject : subject.prototype;
    const descriptor = Object.getOwnPropertyDescriptor(holder, operation);
    expect(descriptor).toMatchObject({ enumerable: true, configurable: true, writable: true });
    expect(signature(descriptor?.value)).toBe(`${operation} ${required}`);
    const enough = Array.from({ length: required }, () => 'x');
    if (!isStatic) await expectTypeError(() => Reflect.apply(descriptor?.value, {}, enough), promise);
    if (required > 0) await expectTypeError(() => Reflect.apply(descriptor?.value, {}, []), promise);
  });
});

it('the entries of a stats report are its iterator', () => {
  const { prototype } = namespace.RTCStatsReport;
  expect(prototype[Symbol.iterator]).toBe(prototype.entries);
});
