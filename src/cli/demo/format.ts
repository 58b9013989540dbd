/** `50.0 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** `42.3 MB/s`, decimal as network rates are. */
export function formatRate(bytes: number, ms: number): string {
  return `${(bytes / 1000 / Math.max(ms, 0.001)).toFixed(1)} MB/s`;
}

/** Text of a peer for a terminal: control and formatting characters cannot move the cursor or hide the rest. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '·');
}
