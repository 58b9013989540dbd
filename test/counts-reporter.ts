import type { Reporter, TestModule } from 'vitest/node';

/** One plain line at the end of a run, for programs that read logs: `tests: 120 passed, 0 failed, 1 skipped`. */
export class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const module of modules) {
      let ran = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed' || state === 'failed' || state === 'skipped') counts[state]++;
        ran++;
      }
      if (ran === 0 && !module.ok()) counts.failed++; // it did not even load
    }
    process.stdout.write(`tests: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  }
}
