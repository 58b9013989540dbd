import { expect } from 'vitest';
import { bytesToHex } from '../../src/core/index.ts';
import { decodeCauses, encodeAbort, encodeError } from '../../src/sctp/wire/causes.ts';
import { createDataFields, readData, writeDataHeader, writeIDataHeader } from '../../src/sctp/wire/data.ts';
import { decodeForwardTsn, forwardTsnBytes, writeForwardTsn } from '../../src/sctp/wire/forward-tsn.ts';
import { decodeReConfig, encodeReConfig } from '../../src/sctp/wire/re-config.ts';
import {
  createSackFields,
  duplicateTsn,
  gapEnd,
  gapStart,
  readSack,
  writeSackHeader,
} from '../../src/sctp/wire/sack.ts';
import { decodeHeartbeat, decodeShutdown, encodeHeartbeat, encodeShutdown } from '../../src/sctp/wire/simple.ts';
import { putU16, putU32 } from '../../src/sctp/wire/tlv.ts';

/** Decodes a chunk of a kind, which is the whole of `bytes`, and writes it again. */
export function roundTrip(kind: string, bytes: Uint8Array): { fields: unknown; again: Uint8Array } {
  const end = bytes.length;
  switch (kind) {
    case 'data': {
      const fields = createDataFields();
      readData(bytes, 0, end, fields);
      const again = bytes.slice();
      again.fill(0, 0, fields.userStart);
      const { flags, tsn, streamId, messageNumber, fragmentNumber, ppid } = fields;
      const length = fields.userEnd - fields.userStart;
      if (!fields.interleaved) writeDataHeader(again, 0, flags, length, tsn, streamId, messageNumber, ppid);
      else {
        const word = flags & 2 ? ppid : fragmentNumber;
        writeIDataHeader(again, 0, flags, length, tsn, streamId, messageNumber, word);
      }
      return { fields, again };
    }
    case 'sack': {
      const sack = createSackFields();
      readSack(bytes, 0, end, sack);
      const blocks = Array.from({ length: sack.gapBlocks }, (_, i) => [gapStart(sack, i), gapEnd(sack, i)]);
      const duplicates = Array.from({ length: sack.duplicates }, (_, i) => duplicateTsn(sack, i));
      const again = new Uint8Array(16 + 4 * (blocks.length + duplicates.length));
      writeSackHeader(again, 0, sack.cumulativeTsnAck, sack.aRwnd, blocks.length, duplicates.length);
      blocks.forEach(([start, stop], i) => {
        putU16(again, 16 + 4 * i, start!);
        putU16(again, 18 + 4 * i, stop!);
      });
      for (const [i, tsn] of duplicates.entries()) putU32(again, 16 + 4 * (blocks.length + i), tsn);
      return { fields: { cumulativeTsnAck: sack.cumulativeTsnAck, aRwnd: sack.aRwnd, blocks, duplicates }, again };
    }
    case 'forward': {
      const fields = decodeForwardTsn(bytes, 0, end);
      const again = new Uint8Array(forwardTsnBytes(fields));
      expect(writeForwardTsn(again, 0, fields)).toBe(again.length);
      return { fields, again };
    }
    case 'reconfig': {
      const fields = decodeReConfig(bytes, 0, end);
      return { fields, again: encodeReConfig(fields) };
    }
    case 'heartbeat': {
      const info = decodeHeartbeat(bytes, 0, end);
      return { fields: bytesToHex(info), again: encodeHeartbeat(bytes[0]!, info) };
    }
    case 'shutdown': {
      const fields = decodeShutdown(bytes, 0, end);
      return { fields, again: encodeShutdown(fields) };
    }
    default: {
      const causes = decodeCauses(bytes, 0, end);
      const fields = causes.map((cause) => ({ type: cause.type, value: bytesToHex(cause.value) }));
      return { fields, again: bytes[0] === 6 ? encodeAbort(causes) : encodeError(causes) };
    }
  }
}
