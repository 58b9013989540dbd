import { UsageError } from '../core/index.ts';
import { attributeValue } from './attributes.ts';
import { isText } from './grammar.ts';
import type { Attribute, MediaDescription, SessionDescription } from './model.ts';
import { bundleTaggedSection, isRejected } from './transport.ts';

/**
 * The section that candidates for section `index` stand in: the BUNDLE-tagged one where it has the same transport
 * (RFC 9429 §5.2.2: candidates of bundled sections are omitted; Chrome overlooks them there).
 */
export function candidateSection(model: SessionDescription, index: number): number {
  if (model.media.length === 1) return index;
  const media = model.media[index];
  const tagged = media && bundleTaggedSection(media, model);
  if (media === undefined || tagged === undefined || tagged === media || isRejected(tagged)) return index;
  const own = attributeValue(media, 'ice-ufrag');
  return own === undefined || own === attributeValue(tagged, 'ice-ufrag') ? model.media.indexOf(tagged) : index;
}

/**
 * The description with one more candidate for section `index` (W3C: "surface a candidate"), behind those that are there,
 * in its {@link candidateSection}. One that is there already changes nothing.
 * @param candidate - RFC 8839 §5.1 text: `candidate:…`, with or without `a=`, blanks and the end of its line.
 * @throws {UsageError} no such section, or not a candidate.
 */
export function withCandidate(model: SessionDescription, index: number, candidate: string): SessionDescription {
  const value = /^(?:a=)?candidate:(.+)$/i.exec(candidate.trimEnd())?.[1];
  if (value === undefined || !isText(value)) throw new UsageError('not a candidate');
  return withAttribute(model, index, { name: 'candidate', value });
}

/** The description with `a=end-of-candidates` for section `index` (RFC 8840 §4.1.1). @throws {UsageError} no such section. */
export function withEndOfCandidates(model: SessionDescription, index: number): SessionDescription {
  return withAttribute(model, index, { name: 'end-of-candidates', value: undefined });
}

/**
 * The description with the default candidate in the `m=` and `c=` lines of section `index` (RFC 8839 §4.2.1.2), which
 * once gathering has ended replaces port 9 and 0.0.0.0.
 * @throws {UsageError} no such section, or one that is rejected.
 */
export function withDefaultCandidate(
  model: SessionDescription,
  index: number,
  address: { readonly ip: string; readonly port: number },
): SessionDescription {
  const connection = { netType: 'IN', addrType: address.ip.includes(':') ? 'IP6' : 'IP4', address: address.ip };
  return withSection(model, index, (media) => {
    if (media.port === 0) throw new UsageError('a rejected section has no address');
    return { ...media, port: address.port, connections: [connection] };
  });
}

/** Candidates stand in front of the other attributes, as browsers write them. */
function withAttribute(model: SessionDescription, index: number, attribute: Attribute): SessionDescription {
  return withSection(model, candidateSection(model, index), (media) => {
    const attributes = media.attributes.slice();
    let at = 0;
    for (let i = 0; i < attributes.length; i++) {
      const { name, value } = attributes[i]!;
      if (name === attribute.name && value === attribute.value) return media;
      if (name === 'candidate') at = i + 1;
    }
    attributes.splice(at, 0, attribute);
    return { ...media, attributes };
  });
}

function withSection(
  model: SessionDescription,
  index: number,
  change: (media: MediaDescription) => MediaDescription,
): SessionDescription {
  const section = model.media[index];
  if (section === undefined) throw new UsageError(`there is no section ${index}`);
  const media = model.media.slice();
  media[index] = change(section);
  return { ...model, media };
}
