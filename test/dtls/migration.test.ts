import { describe, expect, it } from 'vitest';
import { type FiveTuple, type TransportAddress, utf8 } from '../../src/core/index.ts';
import { AMPLIFICATION_LIMIT, MIGRATION_MS, MIGRATION_RECORDS } from '../../src/dtls/peer-address.ts';
import { SeededRandom } from '../sim/index.ts';
import { at, type Guest, House, SERVER } from './house.ts';

const HOME = at(1);
const ELSEWHERE = at(2);
const pathFrom = (remote: TransportAddress): FiveTuple => ({ protocol: 'udp', local: SERVER, remote });

/** A listener with one client that has a connection ID, and ears at other addresses. */
function settled(): { house: House; guest: Guest; heard: (address: TransportAddress) => { bytes: number } } {
  const house = new House({ connectionIdBytes: 8 });
  const guest = house.guest(HOME, { connectionId: new Uint8Array(0) });
  house.run(1000);
  expect(guest.client.negotiated?.sendConnectionId).toHaveLength(8);
  const heard = (address: TransportAddress): { bytes: number } => {
    const sum = { bytes: 0 };
    house.network.bind(address, (bytes) => {
      sum.bytes += bytes.length;
    });
    return sum;
  };
  return { house, guest, heard };
}

/** The client's next record, kept from the network. */
function capture(guest: Guest, length = 3): Uint8Array {
  const slot = { buffer: new Uint8Array(2000), offset: 64, length, path: undefined };
  guest.client.sealInPlace(slot);
  return slot.buffer.slice(slot.offset, slot.offset + slot.length);
}

describe('a peer with a connection ID at another address (RFC 9146 §6)', () => {
  it(`is answered there at once, and has moved after ${MIGRATION_RECORDS} records over ${MIGRATION_MS} ms`, () => {
    const { house, guest } = settled();
    guest.leave();
    const moved = house.guest(ELSEWHERE, {}, guest.client);
    const said: string[] = [];
    for (let n = 0; n < MIGRATION_RECORDS; n++) {
      expect(house.count('migrated')).toBe(0);
      said.push(`word ${n}`);
      house.say(moved, `word ${n}`); // a second each
    }
    expect(moved.received).toEqual(said);
    expect(house.events.filter((event) => event.type === 'migrated')).toEqual([
      { type: 'migrated', connection: 1, from: pathFrom(HOME), path: pathFrom(ELSEWHERE) },
    ]);
    // From now on without a limit.
    moved.received.length = 0;
    house.driver.mutate((now) => {
      for (let i = 0; i < 20; i++) house.listener.send(1, utf8('x'.repeat(1000)), now);
    });
    house.run(100);
    expect(moved.received).toHaveLength(20);
  });

  it('many records in less time are not enough, nor is time with less records', () => {
    const { house, guest } = settled();
    for (let n = 0; n < 100; n++) house.driver.input(capture(guest), pathFrom(ELSEWHERE));
    expect(house.count('migrated')).toBe(0);
    house.run(MIGRATION_MS - 1);
    house.driver.input(capture(guest), pathFrom(ELSEWHERE));
    expect(house.count('migrated')).toBe(0);
    house.run(1);
    house.driver.input(capture(guest), pathFrom(ELSEWHERE));
    expect(house.count('migrated')).toBe(1);
    // Back home: two records, a long time.
    house.driver.input(capture(guest), pathFrom(HOME));
    house.run(60_000);
    house.driver.input(capture(guest), pathFrom(HOME));
    expect(house.count('migrated')).toBe(1);
    house.driver.input(capture(guest), pathFrom(HOME));
    expect(house.count('migrated')).toBe(2);
  });

  it(`amplification: on trial it gets ${AMPLIFICATION_LIMIT} bytes for each that came from it, and the old address the rest`, () => {
    const { house, guest, heard } = settled();
    const there = heard(ELSEWHERE);
    guest.received.length = 0;
    const record = capture(guest, 300); // its echo is the first that is sent there
    house.driver.input(record.slice(), pathFrom(ELSEWHERE));
    house.driver.mutate((now) => {
      for (let i = 0; i < 50; i++) house.listener.send(1, utf8('y'.repeat(100)), now);
    });
    house.run(1000);
    expect(there.bytes).toBeGreaterThan(record.length);
    expect(there.bytes).toBeLessThanOrEqual(AMPLIFICATION_LIMIT * record.length);
    expect(guest.received.length).toBeGreaterThan(40);
  });

  it('replayed: a record captured on its way, sent once more from another address, is not new', () => {
    const { house, guest, heard } = settled();
    const there = heard(ELSEWHERE);
    const record = capture(guest);
    house.driver.input(record.slice(), pathFrom(HOME));
    for (let n = 0; n < 10; n++) {
      house.run(1000);
      house.driver.input(record.slice(), pathFrom(ELSEWHERE));
    }
    expect([there.bytes, house.count('migrated')]).toEqual([0, 0]);
    expect(house.listener.connection(1)?.drops.get('replayed')).toBe(10);
  });

  it('reflected: copies of every record that overtake the originals never move it, and get no more than one trial', () => {
    const { house, guest, heard } = settled();
    const victim = heard(ELSEWHERE);
    guest.received.length = 0;
    const lengths: number[] = [];
    for (let n = 0; n < 200; n++) {
      const record = capture(guest, 50);
      lengths.push(record.length);
      house.driver.input(record.slice(), pathFrom(ELSEWHERE));
      if (n % 3 === 2) continue; // some originals are lost
      house.driver.input(record.slice(), pathFrom(HOME));
      house.run(10);
    }
    expect(house.count('migrated')).toBe(0);
    expect(victim.bytes).toBeLessThanOrEqual(AMPLIFICATION_LIMIT * lengths[0]!);
    expect(guest.received.length).toBeGreaterThanOrEqual(198);
    expect(house.listener.drops.get('unknown-path')).toBeGreaterThan(100);
  });

  it('reflected in bursts: a whole burst of copies ahead of the originals does not move it either', () => {
    const { house, guest } = settled();
    for (let burst = 0; burst < 20; burst++) {
      const records = Array.from({ length: 10 }, () => capture(guest));
      for (const record of records) house.driver.input(record.slice(), pathFrom(ELSEWHERE));
      house.run(5);
      for (const record of records) house.driver.input(record.slice(), pathFrom(HOME));
      house.run(300);
    }
    expect(house.count('migrated')).toBe(0);
  });

  it('hijacked: records held back and sent from elsewhere serve until the peer itself is heard again', () => {
    const { house, guest, heard } = settled();
    const thief = heard(ELSEWHERE);
    house.driver.input(capture(guest), pathFrom(ELSEWHERE));
    house.run(1000);
    house.driver.input(capture(guest), pathFrom(ELSEWHERE));
    expect(thief.bytes).toBeGreaterThan(0);
    house.say(guest, 'it is me');
    expect(guest.received).toContain('it is me');
    const before = thief.bytes;
    for (let n = 0; n < 2; n++) house.driver.input(capture(guest), pathFrom(ELSEWHERE));
    house.run(1000);
    expect([thief.bytes, house.count('migrated')]).toEqual([before, 0]); // once bitten: nothing before it has proved itself
    expect(house.listener.drops.toJSON()).toEqual({ 'unknown-path': 1 });
  });

  it('a second new address while one is on trial gets nothing before it has proved itself', () => {
    const { house, guest, heard } = settled();
    const [first, second] = [heard(ELSEWHERE), heard(at(3))];
    house.driver.input(capture(guest), pathFrom(ELSEWHERE));
    house.driver.input(capture(guest), pathFrom(at(3)));
    house.run(1000);
    expect(first.bytes).toBeGreaterThan(0);
    expect(second.bytes).toBe(0);
    for (let n = 0; n < 2; n++) house.driver.input(capture(guest), pathFrom(at(3)));
    house.run(1000);
    expect(house.count('migrated')).toBe(1);
    expect(second.bytes).toBeGreaterThan(0);
  });

  it('spoofed source flood: 20,000 forged records from as many addresses start nothing and are sent nothing', () => {
    const { house, guest } = settled();
    const random = new SeededRandom(3);
    const genuine = capture(guest, 40);
    const sent = house.network.unreachable;
    for (let n = 0; n < 20_000; n++) {
      const forged = genuine.slice();
      forged[10] = random.below(256); // the sequence number
      forged[21 + random.below(forged.length - 21)]! ^= 1 << random.below(8);
      house.driver.input(forged, pathFrom({ ip: `203.0.113.${n % 256}`, port: 1024 + (n >>> 8) }));
    }
    house.run(1000);
    expect([house.network.unreachable - sent, house.count('migrated'), house.listener.connectionCount]).toEqual([
      0, 0, 1,
    ]);
    house.say(guest, 'undisturbed');
    expect(guest.received).toContain('undisturbed');
  });

  it('records that were on their way before the change, and forged copies, do not undo it', () => {
    const { house, guest } = settled();
    const late = [capture(guest), capture(guest)];
    for (let n = 0; n < MIGRATION_RECORDS; n++) {
      const record = capture(guest);
      house.driver.input(record.slice(), pathFrom(ELSEWHERE));
      const forged = record.slice();
      forged[forged.length - 1]! ^= 1;
      house.driver.input(forged, pathFrom(HOME));
      const old = late.pop();
      if (old !== undefined) house.driver.input(old, pathFrom(HOME));
      house.run(MIGRATION_MS);
    }
    expect(house.count('migrated')).toBe(1);
    expect(house.listener.drops.toJSON()).toEqual({});
  });

  it('drives nobody from an address', () => {
    const { house, guest } = settled();
    const neighbour = house.guest(ELSEWHERE);
    house.run(1000);
    for (let n = 0; n < 5; n++) {
      house.driver.input(capture(guest), pathFrom(ELSEWHERE));
      house.run(MIGRATION_MS);
    }
    expect([house.count('migrated'), house.listener.drops.toJSON()]).toEqual([0, { 'unknown-path': 5 }]);
    house.say(neighbour, 'mine');
    expect(neighbour.received).toEqual(['mine']);
  });

  it('close_notify from a new address ends the association, and is answered there', () => {
    const { house, guest, heard } = settled();
    guest.leave();
    const there = heard(ELSEWHERE);
    guest.client.close(house.world.now);
    const slot = { buffer: new Uint8Array(200), offset: 0, length: 0, path: undefined };
    guest.client.pollTransmit(slot, house.world.now);
    house.driver.input(slot.buffer.slice(0, slot.length), pathFrom(ELSEWHERE));
    house.run(1000);
    expect([house.listener.connectionCount, house.count('removed')]).toEqual([0, 1]);
    expect(there.bytes).toBeGreaterThan(0);
  });
});
