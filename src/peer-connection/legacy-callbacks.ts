/** Web IDL: what an operation with a promise throws becomes a rejection. */
export function promised<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return operation();
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * W3C §4.4.3 "legacy interface extensions": the callback forms resolve with undefined at once and tell the callbacks.
 * @param failure - who writes callbacks may write the first one only; browsers take that for all but createOffer and
 * createAnswer, and tell nobody of a failure.
 */
export function withCallbacks<T>(
  success: unknown,
  failure: unknown,
  failureIsOptional: boolean,
  operation: () => Promise<T>,
): Promise<void> {
  const hasFailure = typeof failure === 'function';
  const mayLack = failureIsOptional && (failure === undefined || failure === null);
  if (typeof success !== 'function' || !(hasFailure || mayLack)) {
    return Promise.reject(new TypeError('a callback is not a function'));
  }
  promised(operation).then(
    (value) => (value === undefined ? success() : success(value)),
    (reason: unknown) => (hasFailure ? failure(reason) : undefined),
  );
  return Promise.resolve();
}
