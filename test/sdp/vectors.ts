import chromium from '../vectors/sdp/chromium.json' with { type: 'json' };
import jsep from '../vectors/sdp/jsep.json' with { type: 'json' };
import rfc from '../vectors/sdp/rfc.json' with { type: 'json' };
import rfc4317 from '../vectors/sdp/rfc4317.json' with { type: 'json' };
import stacks from '../vectors/sdp/stacks.json' with { type: 'json' };

/** A description of the vectors, lines joined with CRLF. */
export interface SdpVector {
  readonly name: string;
  readonly sdp: string;
}

function texts(cases: readonly { readonly name: string; readonly lines: readonly string[] }[]): SdpVector[] {
  return cases.map(({ name, lines }) => ({ name, sdp: `${lines.join('\r\n')}\r\n` }));
}

/** Every description there is. */
export const VECTORS: readonly SdpVector[] = [
  ...texts(chromium.cases),
  ...texts(stacks.cases),
  ...texts(rfc.cases),
  ...texts(rfc4317.cases),
  ...texts(jsep.cases),
];

export function vector(name: string): string {
  const found = VECTORS.find((v) => v.name === name);
  if (found === undefined) throw new Error(`no vector ${name}`);
  return found.sdp;
}

/** The vector of an offer with media beside the data channel. */
export const AV = 'Chrome: offer with audio, video and a data channel (codec lists shortened)';
