/** Results of one suite: figure → subject → one value a round; printed as medians and spread. */
export class Report {
  constructor(subjects) {
    this.subjects = subjects;
    this.rows = new Map();
    this.failures = [];
    this.notes = {};
  }

  record(figure, subject, value) {
    if (!this.rows.has(figure)) this.rows.set(figure, new Map());
    const row = this.rows.get(figure);
    row.set(subject, [...(row.get(subject) ?? []), value]);
  }

  /** A figure that could not be taken. */
  fail(figure, subject, error) {
    const reason = String(error?.message ?? error).split('\n')[0];
    this.failures.push({ figure, subject, reason });
    process.stderr.write(`  ${subject}: ${figure}: ${reason}\n`);
  }

  /** What explains a subject's figures, in words: kept from the last round. */
  note(subject, lines) {
    this.notes[subject] = lines;
  }

  /** Takes over what one round of one subject gave. */
  add(other) {
    for (const [figure, row] of other.rows) {
      for (const [subject, values] of row) for (const value of values) this.record(figure, subject, value);
    }
    this.failures.push(...other.failures);
    Object.assign(this.notes, other.notes);
  }

  /** A Markdown table: median (min-max). */
  table() {
    const lines = [
      `| figure: median (min-max) | ${this.subjects.join(' | ')} |`,
      `|---|${this.subjects.map(() => '---').join('|')}|`,
    ];
    for (const [figure, row] of this.rows) {
      lines.push(`| ${figure} | ${this.subjects.map((name) => this.#cell(figure, name, row)).join(' | ')} |`);
    }
    return lines.join('\n');
  }

  toJSON() {
    return {
      subjects: this.subjects,
      figures: Object.fromEntries([...this.rows].map(([figure, row]) => [figure, Object.fromEntries(row)])),
      failures: this.failures,
      notes: this.notes,
    };
  }

  #cell(figure, name, row) {
    const values = row.get(name);
    if (values !== undefined) return formatValues(values);
    return this.failures.some((f) => f.figure === figure && f.subject === name) ? 'failed' : '';
  }
}

export function quantile(numbers, q) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

/** The middle one, or the mean of the two in the middle. */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Three digits that mean something. */
export function formatNumber(n) {
  if (n === 0) return '0';
  if (Math.abs(n) >= 100) return Math.round(n).toLocaleString('en-US');
  return n.toPrecision(3);
}

export function formatValues(values) {
  if (values.length === 1) return formatNumber(values[0]);
  return `${formatNumber(median(values))} (${formatNumber(Math.min(...values))}-${formatNumber(Math.max(...values))})`;
}
