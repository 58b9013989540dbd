/**
 * The OpaqueString profile of PRECIS (RFC 8265 §4.2), with which user names, realms and passwords are prepared before
 * they are hashed or compared (RFC 8489 §9, §14.3, §14.9).
 */

/** Code points that FreeformClass does not allow (RFC 8264 §4.3.3, §9.10–§9.13): controls, unassigned, private use, surrogates. */
const DISALLOWED = /[\p{Cc}\p{Cn}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}]/u;
/** PrecisIgnorableProperties (RFC 8264 §9.13), but for the joiners, whose context decides. */
const IGNORABLE = /(?![\u200C\u200D])\p{Default_Ignorable_Code_Point}/u;
/** OldHangulJamo (RFC 8264 §9.9): conjoining letters. */
const OLD_HANGUL_JAMO = /[\u1100-\u11FF\uA960-\uA97C\uD7B0-\uD7C6\uD7CB-\uD7FB]/u;
const ASCII = /^[\x20-\x7E]+$/;

/** Contextual rules (RFC 5892 appendix A) as "this occurs outside its context". */
const OUT_OF_CONTEXT: readonly RegExp[] = [
  // Zero-width joiners need a preceding Virama. JavaScript knows no combining classes; the Viramas by name:
  /(?<![\u094D\u09CD\u0A4D\u0ACD\u0B4D\u0BCD\u0C4D\u0CCD\u0D4D\u0DCA\u0E3A\u0F84\u1039\u17D2])[\u200C\u200D]/u,
  /(?<!l)\u00B7|\u00B7(?!l)/u, // MIDDLE DOT between two l, as in Catalan
  /\u0375(?!\p{Script=Greek})/u, // GREEK LOWER NUMERAL SIGN
  /(?<!\p{Script=Hebrew})[\u05F3\u05F4]/u, // HEBREW PUNCTUATION
];
const KATAKANA_MIDDLE_DOT = '\u30FB';
const JAPANESE = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u;
const ARABIC_INDIC = /[\u0660-\u0669]/u;
const EXTENDED_ARABIC_INDIC = /[\u06F0-\u06F9]/u;

/**
 * Prepares and enforces a string: every non-ASCII space becomes U+0020, then NFC; case and width stay. Already prepared
 * strings come back unchanged.
 * @returns undefined when the string is empty or holds what FreeformClass does not allow, such as a control character or
 *   a soft hyphen.
 */
export function opaqueString(text: string): string | undefined {
  if (ASCII.test(text)) return text;
  const prepared = text.replace(/\p{Zs}/gu, ' ').normalize('NFC');
  if (prepared === '') return undefined;
  if (DISALLOWED.test(prepared) || IGNORABLE.test(prepared) || OLD_HANGUL_JAMO.test(prepared)) return undefined;
  if (OUT_OF_CONTEXT.some((rule) => rule.test(prepared))) return undefined;
  if (prepared.includes(KATAKANA_MIDDLE_DOT) && !JAPANESE.test(prepared.replaceAll(KATAKANA_MIDDLE_DOT, ''))) {
    return undefined;
  }
  if (ARABIC_INDIC.test(prepared) && EXTENDED_ARABIC_INDIC.test(prepared)) return undefined;
  return prepared;
}
