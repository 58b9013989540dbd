/** A private field of objects that somebody else makes. */
export interface PrivateSlot<K extends object, V> {
  /** Undefined where none was set. */
  get(key: K): V | undefined;
  set(key: K, value: V): void;
}

/** A constructor that returns its argument gives the fields of its subclass to that object. */
class Stamp {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: the point of it
    return object;
  }
}

/**
 * What a `WeakMap` of the module would be, but for the garbage collector: V8's short collections take the values of a long-lived
 * `WeakMap` for alive, and with them everything that they refer to, mostly the key itself; a value that lies in its key goes
 * with it.
 *
 * @example
 * const sizes = privateSlot<object, number>();
 * sizes.set(shape, 3);
 * sizes.get(shape); // 3
 */
export function privateSlot<K extends object, V>(): PrivateSlot<K, V> {
  return class Slot extends Stamp {
    #value: V | undefined;

    static get(key: K): V | undefined {
      return #value in key ? key.#value : undefined;
    }

    static set(key: K, value: V): void {
      const slot = #value in key ? key : new Slot(key);
      slot.#value = value;
    }
  };
}
