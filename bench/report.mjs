/** Results of one run: figure → subject → one value a round; printed as medians and spread. */
export class Report {
  constructor(subjects) {
    this.subjects = subjects;
    this.rows = new Map();
  }

  record(figure, subject, value) {
    if (!this.rows.has(figure)) this.rows.set(figure, new Map());
    const row = this.rows.get(figure);
    row.set(subject, [...(row.get(subject) ?? []), value]);
  }

  /** A Markdown table: median (min-max). */
  table() {
    const lines = [
      `| figure: median (min-max) | ${this.subjects.join(' | ')} |`,
      `|---|${this.subjects.map(() => '---').join('|')}|`,
    ];
    for (const [figure, row] of this.rows) {
      lines.push(`| ${figure} | ${this.subjects.map((name) => format(row.get(name))).join(' | ')} |`);
    }
    return lines.join('\n');
  }

  toJSON() {
    return Object.fromEntries([...this.rows].map(([figure, row]) => [figure, Object.fromEntries(row)]));
  }
}

export function quantile(numbers, q) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

function format(values) {
  if (values === undefined) return 'failed';
  const digits = (n) => (n >= 100 ? n.toFixed(0) : n.toPrecision(3));
  if (values.length === 1) return digits(values[0]);
  return `${digits(quantile(values, 0.5))} (${digits(Math.min(...values))}-${digits(Math.max(...values))})`;
}
