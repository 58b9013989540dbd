/** The results of one or several runs of `npm run bench`, and the arithmetic of comparing subjects. */
import { median } from '../report.mjs';

/** Those that run machine code of their own. */
export const NATIVE = ['node-datachannel', '@roamhq/wrtc'];

export class Results {
  /** @param files - parsed contents of JSON results; of a suite that is in several, the last counts. */
  constructor(files) {
    this.suites = Object.assign({}, ...files.map(({ suites }) => suites));
    this.machine = files.at(-1).machine;
    for (const { machine } of files) Object.assign(this.machine.versions, machine.versions);
  }

  figures(suite) {
    return Object.keys(this.suites[suite]?.figures ?? {});
  }

  subjects(suite) {
    return this.suites[suite]?.subjects ?? [];
  }

  /** One value a round; undefined when it was not measured. */
  values(suite, figure, subject) {
    return this.suites[suite]?.figures[figure]?.[subject];
  }

  median(suite, figure, subject) {
    const values = this.values(suite, figure, subject);
    return values === undefined ? undefined : median(values);
  }

  /** Why a figure is missing, where that is known. */
  failure(suite, figure, subject) {
    return this.suites[suite]?.failures.find(
      (f) => f.subject === subject && [figure, 'all figures'].includes(f.figure),
    );
  }

  /** The subject of `names` with the largest median. */
  best(suite, figure, names) {
    const known = names.filter((name) => this.values(suite, figure, name) !== undefined);
    const value = (name) => this.median(suite, figure, name);
    return known.reduce((a, b) => (a === undefined || value(b) > value(a) ? b : a), undefined);
  }

  /**
   * Median of the ratios round by round, as the two were measured side by side; undefined when one is missing, infinite
   * when the other got nowhere.
   */
  ratio(suite, [figureA, subjectA], [figureB, subjectB]) {
    const a = this.values(suite, figureA, subjectA);
    const b = this.values(suite, figureB, subjectB);
    if (a === undefined || b === undefined) return undefined;
    if (a.length !== b.length || b.includes(0)) return median(a) / median(b);
    return median(a.map((value, i) => value / b[i]));
  }

  /** Subjects with nothing of ours at either end. */
  peers(suite) {
    return this.subjects(suite).filter((name) => !name.includes('purertc') && name !== 'bare-socket');
  }
}

export const throughputAt = (size) => `throughput at ${size} bytes, MB/s`;

export function sizesOf(results) {
  return results.figures('channels').flatMap((figure) => {
    const size = /^throughput at (\d+) bytes/.exec(figure)?.[1];
    return size === undefined ? [] : [Number(size)];
  });
}

export const sizeName = (bytes) => (bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} bytes`);
