/**
 * Which task of the event loop runs, as far as the W3C's algorithms have begun one: an event that the application gets, or a
 * task that was queued for it. What "the current task" must not see change may change with the next.
 */
let task = 0;

/** What the application is called with from now on is a task of its own. */
export function beginTask(): void {
  task++;
}

/** To be compared only. */
export function currentTask(): number {
  return task;
}
