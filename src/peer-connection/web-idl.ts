/**
 * The little of Web IDL and of the DOM that the façade needs and JavaScript classes do not give by themselves: event
 * handler attributes, enumerable members, `Symbol.toStringTag`, and the conversions of arguments and dictionary members.
 */

import { privateSlot } from '../core/index.ts';

/**
 * An event handler attribute (`onopen` …). `this` is not part of the type, so that the types here and those of
 * TypeScript's DOM library are assignable to each other.
 */
export type EventHandler<E extends Event = Event> = ((event: E) => unknown) | null;

type Listener<E extends Event> = ((event: E) => unknown) | { handleEvent(event: E): unknown } | null;

/**
 * The public part of a class, the members `K` optional: they are in the W3C's interface and always there, but
 * TypeScript's DOM library does not know them, and its types are to be assignable to ours.
 */
export type Relaxed<T, K extends keyof T> = Omit<T, K> & Partial<Pick<T, K>>;

/** `EventTarget` whose events have types: `Events` maps event names to event classes, as the maps of lib.dom do. */
export interface TypedEventTarget<Events> extends EventTarget {
  addEventListener<K extends keyof Events & string>(
    type: K,
    listener: Listener<Events[K] & Event>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: ((event: Event) => void) | { handleEvent(event: Event): void } | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof Events & string>(
    type: K,
    listener: Listener<Events[K] & Event>,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: ((event: Event) => void) | { handleEvent(event: Event): void } | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

interface AddEventListenerOptions {
  once?: boolean;
  passive?: boolean;
  signal?: AbortSignal;
  capture?: boolean;
}

interface EventListenerOptions {
  capture?: boolean;
}

/** `EventTarget` itself, seen with typed events: the classes of the façade inherit from it directly, as the W3C's do. */
export const TypedEventTarget: new <Events>() => TypedEventTarget<Events> = EventTarget;

interface HandlerSlot {
  value: object;
  readonly listener: (event: Event) => void;
}

/** Handlers of a target, by event type. */
const handlers = privateSlot<EventTarget, Map<string, HandlerSlot>>();

function getHandler(target: EventTarget, type: string): object | null {
  return handlers.get(target)?.get(type)?.value ?? null;
}

/**
 * HTML "event handler IDL attributes": the first non-null value takes a place in the order of listeners, later values keep
 * that place, and null gives it up. What is not an object is taken as null.
 */
function setHandler(target: EventTarget, type: string, value: unknown): void {
  const slots = handlers.get(target) ?? new Map<string, HandlerSlot>();
  handlers.set(target, slots);
  const slot = slots.get(type);
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
    if (slot !== undefined) target.removeEventListener(type, slot.listener);
    slots.delete(type);
  } else if (slot !== undefined) {
    slot.value = value;
  } else {
    const listener = (event: Event): void => {
      const current = slots.get(type)?.value;
      // HTML "the event handler processing algorithm" step 4: false cancels what can be cancelled.
      if (typeof current === 'function' && current.call(target, event) === false) event.preventDefault();
    };
    slots.set(type, { value, listener });
    target.addEventListener(type, listener);
  }
}

/**
 * Gives a class the shape of a Web IDL interface: its name as `Symbol.toStringTag`, enumerable attributes and operations
 * on the prototype, and an `on…` attribute for each event.
 */
export function defineInterface(
  target: (abstract new (...given: never[]) => object) & { readonly prototype: object },
  name: string,
  events: readonly string[] = [],
): void {
  const prototype = target.prototype;
  const instance = (value: unknown): EventTarget => {
    if (value instanceof target && value instanceof EventTarget) return value;
    throw new TypeError('Illegal invocation');
  };
  for (const type of events) {
    // A literal, so that the functions have the names that accessors have.
    const accessor = {
      get [`on${type}`](): unknown {
        return getHandler(instance(this), type);
      },
      set [`on${type}`](value: unknown) {
        setHandler(instance(this), type, value);
      },
    };
    Object.defineProperties(prototype, Object.getOwnPropertyDescriptors(accessor));
  }
  for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (key !== 'constructor') Object.defineProperty(prototype, key, { ...descriptor, enumerable: true });
  }
  for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(target))) {
    // Static operations too; `prototype`, `name` and `length` are not writable or not functions.
    if (typeof descriptor.value === 'function') Object.defineProperty(target, key, { ...descriptor, enumerable: true });
  }
  Object.defineProperty(target, 'name', { configurable: true, value: name });
  Object.defineProperty(prototype, Symbol.toStringTag, { configurable: true, value: name });
}

/**
 * Hands internals to a constructor that the application may not call: `make` runs the constructor while `take` has them.
 * Without it `take` throws, as `new RTCDtlsTransport()` does in a browser.
 */
export class ConstructorGate<T> {
  #pending: T | undefined;

  make<R>(internals: T, construct: () => R): R {
    this.#pending = internals;
    try {
      return construct();
    } finally {
      this.#pending = undefined;
    }
  }

  /** @throws {TypeError} outside of `make`. */
  take(): T {
    if (this.#pending === undefined) throw new TypeError('Illegal constructor');
    const internals = this.#pending;
    this.#pending = undefined;
    return internals;
  }
}

/** Web IDL tells an argument that is missing from one that is undefined. @throws {TypeError} fewer than required. */
export function requireArguments(given: number, required: number): void {
  if (given < required) throw new TypeError(`${required} argument required, but only ${given} present`);
}

/** `[EnforceRange] unsigned short`, `octet` and so on. @throws {TypeError} not a finite number in [0, max]. */
export function enforceRange(value: unknown, max: number, what: string): number {
  const number = Math.trunc(Number(value));
  if (!Number.isFinite(number) || number < 0 || number > max) {
    throw new TypeError(`${what} is outside the range of 0 to ${max}`);
  }
  return number + 0; // -0 becomes 0
}

/** `unsigned short` without `[EnforceRange]`: wraps, and what is no number is 0. @throws {TypeError} for a symbol. */
export function unsignedShort(value: unknown): number {
  return Number(value) & 0xffff;
}

/** `long`, in the same way. */
export function long(value: unknown): number {
  return Number(value) | 0;
}

/** `unsigned long`, in the same way. */
export function unsignedLong(value: unknown): number {
  return Number(value) >>> 0;
}

/** `T?`: null and undefined are null. */
export function nullable<T>(convert: (value: unknown) => T): (value: unknown) => T | null {
  return (value) => (value === undefined || value === null ? null : convert(value));
}

/** A member of a dictionary, converted. Only undefined is absent and takes the default: null is a value like any other. */
export function member<T, D>(
  given: Readonly<Record<string, unknown>>,
  name: string,
  convert: (value: unknown) => T,
  absent: D,
): T | D {
  const value = given[name];
  return value === undefined ? absent : convert(value);
}

/** `USVString`: lone surrogates become U+FFFD. @throws {TypeError} for a symbol. */
export function usvString(value: unknown): string {
  return `${value}`.replace(/\p{Surrogate}/gu, '\ufffd'); // with the u flag only lone ones match
}

/** `DOMString`. @throws {TypeError} for a symbol. */
export function domString(value: unknown): string {
  return `${value}`;
}

/** Conversion to a member of an enumeration, which throws TypeError for anything else. */
export function enumeration<T extends string>(allowed: readonly T[], what: string): (value: unknown) => T {
  return (value) => {
    const text = domString(value);
    const found = allowed.find((item) => item === text);
    if (found === undefined) throw new TypeError(`'${text}' is not a valid value for ${what}`);
    return found;
  };
}

/**
 * Conversion to a `sequence`: any iterable object. A string is none.
 * @throws {TypeError} not iterable.
 */
export function sequence(value: unknown, what: string): unknown[] {
  if (!isIterable(value)) throw new TypeError(`${what} is not a sequence`);
  return Array.from(value);
}

/** Whether Web IDL takes a value for a sequence where it could also be a string. */
export function isIterable(value: unknown): value is Iterable<unknown> {
  return isObject(value) && typeof Reflect.get(value, Symbol.iterator) === 'function';
}

/** Conversion to an interface type, which throws TypeError for what is no instance. */
export function instanceOf<T>(type: abstract new (...given: never[]) => T, what: string): (value: unknown) => T {
  return (value) => {
    if (value instanceof type) return value;
    throw new TypeError(`${what} is not of its type`);
  };
}

/** A dictionary argument: absent and null are the empty one. @throws {TypeError} for what is not an object. */
export function dictionary(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw new TypeError(`${what} is not an object`);
  return value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return (typeof value === 'object' && value !== null) || typeof value === 'function';
}

/** The names of DOMExceptions that the façade throws. */
export type DomErrorName =
  | 'InvalidStateError'
  | 'InvalidAccessError'
  | 'InvalidModificationError'
  | 'NotSupportedError'
  | 'OperationError'
  | 'SyntaxError'
  | 'NetworkError'
  | 'NotReadableError';

/** A DOMException by name. */
export function domError(name: DomErrorName, message: string): DOMException {
  return new DOMException(message, name);
}
