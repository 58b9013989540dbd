/** A peer did not answer in time. Other errors may be tried again; what hangs is not. */
export class NoAnswer extends Error {
  constructor(command, ms) {
    super(`no answer to '${command}' within ${ms} ms`);
  }
}
