import { GeneralizedTime, UTCTime } from 'asn1js';
import { DecodeError } from '../core/index.ts';
import type { DerElement } from './der.ts';

/** Validity times (RFC 5280 §4.1.2.5), computed without the runtime's clock and calendar. */

const MS_PER_SECOND = 1000;
const SECONDS_PER_DAY = 86_400;

/** Days from 1970-01-01 in the Gregorian calendar; months from 1. Years are counted from March so that leap days come last. */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** Inverse of {@link daysFromCivil}. */
function civilFromDays(days: number): { readonly year: number; readonly month: number; readonly day: number } {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}

/**
 * Milliseconds since 1970 of a `Time`.
 * @throws {DecodeError} `bad-value` unless it is `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, which is all that DER allows here.
 */
export function readTime(element: DerElement, field: string): number {
  const generalized = element instanceof GeneralizedTime;
  if (!generalized && !(element instanceof UTCTime)) throw new DecodeError('bad-type', field, 0);
  const text = String.fromCharCode(...element.valueBlock.valueHexView.subarray(0, 16));
  const match = (
    generalized ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/
  ).exec(text);
  if (match === null) throw new DecodeError('bad-value', field, 0);
  const [yearDigits = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  // RFC 5280 §4.1.2.5.1: two digits from 50 on are 19YY.
  const year = generalized ? yearDigits : yearDigits >= 50 ? 1900 + yearDigits : 2000 + yearDigits;
  const days = daysFromCivil(year, month, day);
  const back = civilFromDays(days);
  if (back.year !== year || back.month !== month || back.day !== day || hour > 23 || minute > 59 || second > 59) {
    throw new DecodeError('bad-value', field, 0);
  }
  return (days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second) * MS_PER_SECOND;
}

/** A time of whole seconds as RFC 5280 §4.1.2.5 writes it: UTCTime until 2049, GeneralizedTime from 2050 on. */
export function timeText(atMs: number): { readonly text: string; readonly generalized: boolean } {
  const seconds = Math.floor(atMs / MS_PER_SECOND);
  const days = Math.floor(seconds / SECONDS_PER_DAY);
  const ofDay = seconds - days * SECONDS_PER_DAY;
  const { year, month, day } = civilFromDays(days);
  const two = (value: number) => String(value).padStart(2, '0');
  const rest = `${two(month)}${two(day)}${two(Math.floor(ofDay / 3600))}${two(Math.floor(ofDay / 60) % 60)}${two(ofDay % 60)}Z`;
  const generalized = year < 1950 || year >= 2050;
  return { text: `${generalized ? String(year).padStart(4, '0') : two(year % 100)}${rest}`, generalized };
}

/** A `Time`, see {@link timeText}. */
export function writeTime(atMs: number): DerElement {
  const { text, generalized } = timeText(atMs);
  return generalized ? new GeneralizedTime({ value: text }) : new UTCTime({ value: text });
}
