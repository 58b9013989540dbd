/** The only place that names the runtime: package.json `imports` decides what `#platform` is. */
export { platform as defaultPlatform } from '#platform';
