/**
 * The little of Web IDL and of the DOM that the façade needs and JavaScript classes do not give by themselves: event
 * handler attributes, enumerable members, `Symbol.toStringTag`, and the integer conversions with their TypeErrors.
 */

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

/** Handlers of all targets; weak, so that a target may go. */
const handlers = new WeakMap<EventTarget, Map<string, HandlerSlot>>();

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
      if (typeof current === 'function') current.call(target, event);
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
  target: { readonly prototype: object; readonly name: string },
  name: string,
  events: readonly string[] = [],
): void {
  const prototype = target.prototype;
  for (const type of events) {
    Object.defineProperty(prototype, `on${type}`, {
      configurable: true,
      get(this: EventTarget) {
        return getHandler(this, type);
      },
      set(this: EventTarget, value: unknown) {
        setHandler(this, type, value);
      },
    });
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

/** `[EnforceRange] unsigned short`, `octet` and so on. @throws {TypeError} not a finite number in [0, max]. */
export function enforceRange(value: unknown, max: number, what: string): number {
  const number = Math.trunc(Number(value));
  if (!Number.isFinite(number) || number < 0 || number > max) {
    throw new TypeError(`${what} is outside the range of 0 to ${max}`);
  }
  return number + 0; // -0 becomes 0
}

/** `USVString`: lone surrogates become U+FFFD. @throws {TypeError} for a symbol. */
export function usvString(value: unknown): string {
  return `${value}`.replace(/\p{Surrogate}/gu, '\ufffd'); // with the u flag only lone ones match
}

/** `DOMString`. @throws {TypeError} for a symbol. */
export function domString(value: unknown): string {
  return `${value}`;
}

/** The member of an enumeration. @throws {TypeError} for anything else. */
export function enumValue<T extends string>(value: unknown, allowed: readonly T[], what: string): T {
  const text = domString(value);
  const found = allowed.find((item) => item === text);
  if (found === undefined) throw new TypeError(`'${text}' is not a valid value for ${what}`);
  return found;
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
