/** Bar plots as SVG, readable on light and dark pages: the file brings its own ground and follows the reader's scheme. */
import { formatNumber, median } from '../report.mjs';

const ROW = 20;
const BAR = 13;
const LABEL_WIDTH = 150;
const VALUE_WIDTH = 86;
const PANEL_WIDTH = 450;
const PANEL_GAP = 26;
const MARGIN = 18;
const TITLE = 34;
const PANEL_TITLE = 26;
const CHAR_WIDTH = 6.3;
/** Where less is better, a bar that is so many times the middle one is cut, so that the others can be told apart. */
const CUT_FACTOR = 6;

const STYLE = `
    .ground { fill: #ffffff; stroke: #d8dee4 }
    text { font: 12px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 }
    .panel { font-weight: 600 }
    .value { font-variant-numeric: tabular-nums }
    .quiet { fill: #59636e }
    .ours { fill: #0969da }
    .mixed { fill: #54a0f0 }
    .peer { fill: #afb8c1 }
    .floor { fill: #6e7781 }
    .spread { stroke: #1f2328; stroke-width: 1.2 }
    .axis { stroke: #d0d7de }
    .cut { stroke: #ffffff; stroke-width: 3 }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117; stroke: #30363d }
      text { fill: #e6edf3 }
      .quiet { fill: #9198a1 }
      .ours { fill: #4493f8 }
      .mixed { fill: #2a65ad }
      .peer { fill: #565f6a }
      .floor { fill: #8b949e }
      .spread { stroke: #e6edf3 }
      .axis { stroke: #30363d }
      .cut { stroke: #0d1117 }
    }
`;

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function kindOf(label) {
  if (label === 'bare-socket') return 'floor';
  if (label.includes('chromium') && label.includes('purertc')) return 'mixed';
  return label.startsWith('purertc') ? 'ours' : 'peer';
}

/**
 * @param panels - `{title, lessIsBetter, bars: [{label, value, low, high} | {label, missing}]}`: the median, and the least and most of
 * the rounds. Each panel has a scale of its own that begins at zero; bars beyond it are cut.
 */
export function barPlot(title, panels, columns = 2) {
  const rows = [];
  for (let i = 0; i < panels.length; i += columns) rows.push(panels.slice(i, i + columns));
  const heightOf = (row) => PANEL_TITLE + ROW * Math.max(...row.map(({ bars }) => bars.length));
  const used = Math.min(columns, panels.length);
  const width = 2 * MARGIN + used * PANEL_WIDTH + (used - 1) * PANEL_GAP;
  const parts = [];
  let y = MARGIN + TITLE;
  for (const row of rows) {
    for (const [i, panel] of row.entries()) parts.push(drawPanel(panel, MARGIN + i * (PANEL_WIDTH + PANEL_GAP), y));
    y += heightOf(row) + PANEL_GAP;
  }
  const height = y - PANEL_GAP + MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `  <title>${escaped(title)}</title>`,
    `  <style>${STYLE}  </style>`,
    `  <rect class="ground" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>`,
    `  <text class="title" x="${MARGIN}" y="${MARGIN + 14}">${escaped(title)}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

function drawPanel({ title, bars, lessIsBetter }, x, y) {
  const highs = bars.flatMap(({ high }) => (high === undefined ? [] : [high]));
  const cutAt = lessIsBetter && median(highs) > 0 ? CUT_FACTOR * median(highs) : Number.POSITIVE_INFINITY;
  const most = Math.min(Math.max(...highs), cutAt) || 1;
  const room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
  const from = x + LABEL_WIDTH;
  const top = y + PANEL_TITLE;
  const scale = (value) => (Math.min(Math.max(0, value), most) / most) * room;
  const lines = [
    `  <text class="panel" x="${x}" y="${y + 12}">${escaped(title)}${lessIsBetter ? ' (less is better)' : ''}</text>`,
    `  <line class="axis" x1="${from}" x2="${from}" y1="${top - 4}" y2="${top + ROW * bars.length - 4}"/>`,
  ];
  for (const [i, bar] of bars.entries()) {
    const at = top + i * ROW;
    const text = at + 10;
    lines.push(`  <text x="${from - 8}" y="${text}" text-anchor="end">${escaped(bar.label)}</text>`);
    if (bar.value === undefined) {
      lines.push(`  <text class="quiet" x="${from + 6}" y="${text}">${escaped(bar.missing)}</text>`);
      continue;
    }
    const length = scale(bar.value);
    const end = Math.max(length, scale(bar.high));
    lines.push(`  <rect class="${kindOf(bar.label)}" x="${from}" y="${at}" width="${fixed(length)}" height="${BAR}"/>`);
    if (bar.high > bar.low) {
      const middle = at + BAR / 2;
      lines.push(
        `  <line class="spread" x1="${fixed(from + scale(bar.low))}" x2="${fixed(from + end)}" y1="${middle}" y2="${middle}"/>`,
      );
    }
    if (bar.high > most) {
      const cut = from + room * 0.9;
      lines.push(`  <line class="cut" x1="${cut - 4}" x2="${cut + 4}" y1="${at + BAR + 1}" y2="${at - 1}"/>`);
    }
    const value = formatNumber(bar.value);
    const fits = Math.min(from + end + 6, x + PANEL_WIDTH - value.length * CHAR_WIDTH);
    lines.push(`  <text class="value" x="${fixed(fits)}" y="${text}">${value}</text>`);
  }
  return lines.join('\n');
}

const fixed = (n) => Number(n.toFixed(1));
