import { describe, expect, it } from 'vitest';
import { privateSlot } from '../../src/core/index.ts';

describe('privateSlot', () => {
  class Shape {}

  it('keeps one value for each object, and none for others', () => {
    const sizes = privateSlot<Shape, number>();
    const [a, b] = [new Shape(), new Shape()];
    sizes.set(a, 1);
    expect([sizes.get(a), sizes.get(b)]).toEqual([1, undefined]);
    sizes.set(a, 2);
    sizes.set(b, 3);
    expect([sizes.get(a), sizes.get(b)]).toEqual([2, 3]);
  });

  it('has nothing to do with other slots of the same object', () => {
    const [sizes, names] = [privateSlot<Shape, number>(), privateSlot<Shape, string>()];
    const shape = new Shape();
    sizes.set(shape, 1);
    expect(names.get(shape)).toBeUndefined();
    names.set(shape, 'circle');
    expect([sizes.get(shape), names.get(shape)]).toEqual([1, 'circle']);
  });

  it('shows nothing of itself', () => {
    const sizes = privateSlot<object, number>();
    const shape = { sides: 3 };
    sizes.set(shape, 1);
    expect(Reflect.ownKeys(shape)).toEqual(['sides']);
    expect(structuredClone(shape)).toEqual({ sides: 3 });
  });
});
