/** The stream schedulers of RFC 8260 §3. */
export type SchedulerName = 'first-come' | 'round-robin' | 'priority' | 'weighted-fair';
