import { DecodeError, DropCounters, type FiveTuple, formatFiveTuple, UsageError } from '../core/index.ts';
import { decodeStun, isStun, STUN_METHODS, type StunMessage } from '../stun/index.ts';
import { readUsername } from './binding.ts';
import { MAX_MUX_ADDRESSES } from './limits.ts';

/** What the mux asks of an owner: an `IceAgent`, or what is built on one. */
export interface MuxOwner {
  /** Whether the peer has proved itself over the path. */
  acceptsData(path: FiveTuple): boolean;
}

/** A request for nobody, which anybody can send. The message is borrowed. */
export type UnknownUfragListener = (
  username: { readonly ours: string; readonly theirs: string },
  request: StunMessage,
  path: FiveTuple,
) => void;

/** What one owner has in the tables. */
interface Entry {
  readonly ufrags: Set<string>;
  /** Keys of paths, oldest first; true: the peer has proved itself there. */
  readonly paths: Map<string, boolean>;
}

/**
 * One socket for many agents: says to whom a datagram belongs, by the ufrag where there is one, then by the path.
 *
 * A Binding request names the ufrag of the agent it is for (RFC 8445 §7.2.2), before anything is known of the sender.
 * Everything else — responses, DTLS, data — belongs to whom the path belongs: to the owner that the peer has proved
 * itself to there, else to the owner that has sent there. What the ufrag of an unauthenticated request says is never
 * learned, so nobody can take over the path of another.
 *
 * The same table serves TCP (RFC 6544): the first frame of a connection is a request, and later frames follow the path.
 *
 * @example
 * const owner = mux.route(bytes, path);
 * if (owner !== undefined) {
 *   owner.driver.input(bytes, path);
 *   mux.settle(path, owner);
 * }
 */
export class IceMux<Owner extends MuxOwner> {
  /** Why datagrams belonged to nobody. */
  readonly drops: DropCounters;
  readonly #owners = new Map<Owner, Entry>();
  readonly #byUfrag = new Map<string, Owner>();
  readonly #byPath = new Map<string, Owner>();
  /** By identity, for the data path: shells hand out one object a path. */
  readonly #cache = new WeakMap<FiveTuple, Owner>();
  /** By identity: who has sent there last and is learned. */
  #sentBy = new WeakMap<FiveTuple, Owner>();
  readonly #onUnknownUfrag: UnknownUfragListener;

  /**
   * @param onUnknownUfrag - told of each Binding request whose ufrag nobody has, before it is dropped. An owner that is
   *   added within the call gets the datagram.
   * @param drops - counters that several muxes share.
   */
  constructor(onUnknownUfrag: UnknownUfragListener = () => undefined, drops: DropCounters = new DropCounters()) {
    this.#onUnknownUfrag = onUnknownUfrag;
    this.drops = drops;
  }

  /** Owners at present. */
  get size(): number {
    return this.#owners.size;
  }

  /** Paths at present, of all owners. */
  get paths(): number {
    return this.#byPath.size;
  }

  /**
   * An agent's local ufrag; once more after each restart.
   * @throws {UsageError} when another owner has it: draw another one.
   */
  add(ufrag: string, owner: Owner): void {
    const holder = this.#byUfrag.get(ufrag);
    if (holder !== undefined && holder !== owner) throw new UsageError('the ufrag is in use on this socket');
    this.#byUfrag.set(ufrag, owner);
    this.#entry(owner).ufrags.add(ufrag);
  }

  /** An old generation's ufrag is over. */
  removeUfrag(ufrag: string): void {
    const owner = this.#byUfrag.get(ufrag);
    if (owner === undefined) return;
    this.#byUfrag.delete(ufrag);
    this.#owners.get(owner)?.ufrags.delete(ufrag);
  }

  /** Forgets everything about an owner. */
  remove(owner: Owner): void {
    const entry = this.#owners.get(owner);
    if (entry === undefined) return;
    this.#owners.delete(owner);
    for (const ufrag of entry.ufrags) this.#byUfrag.delete(ufrag);
    for (const key of entry.paths.keys()) if (this.#byPath.get(key) === owner) this.#byPath.delete(key);
  }

  /** To whom a datagram belongs; undefined, and counted, when to nobody. */
  route(bytes: Uint8Array, path: FiveTuple): Owner | undefined {
    if (isStun(bytes)) {
      const named = this.#ownerByUfrag(bytes, path);
      if (named !== 'not-a-request') return named;
    }
    const cached = this.#cache.get(path);
    if (cached !== undefined && this.#owners.has(cached)) return cached;
    const owner = this.#byPath.get(formatFiveTuple(path));
    if (owner === undefined) this.drops.count('unknown-path');
    return owner;
  }

  /** After the owner has handled a datagram of the path: learns whether the peer has proved itself there. */
  settle(path: FiveTuple, owner: Owner): void {
    if (this.#cache.get(path) === owner || !this.#owners.has(owner) || !owner.acceptsData(path)) return;
    const key = formatFiveTuple(path);
    this.#learn(key, owner, true);
    this.#cache.set(path, owner);
  }

  /** The owner sends to the path: answers will come from there. */
  noteSent(path: FiveTuple, owner: Owner): void {
    if (this.#sentBy.get(path) === owner || this.#cache.get(path) === owner || !this.#owners.has(owner)) return;
    const key = formatFiveTuple(path);
    const holder = this.#byPath.get(key);
    // Not from another owner whose peer has proved itself there.
    if (holder !== undefined && holder !== owner && this.#owners.get(holder)?.paths.get(key) === true) return;
    if (holder !== owner) this.#learn(key, owner, false);
    this.#sentBy.set(path, owner);
  }

  #ownerByUfrag(bytes: Uint8Array, path: FiveTuple): Owner | undefined | 'not-a-request' {
    try {
      const message = decodeStun(bytes);
      if (message.messageClass !== 'request' || message.method !== STUN_METHODS.Binding) return 'not-a-request';
      const username = readUsername(message);
      let owner = this.#byUfrag.get(username.ours);
      if (owner !== undefined) return owner;
      this.#onUnknownUfrag(username, message, path);
      owner = this.#byUfrag.get(username.ours);
      if (owner === undefined) this.drops.count('unknown-peer');
      return owner;
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.drops.count(error.reason);
      return undefined;
    }
  }

  #learn(key: string, owner: Owner, proved: boolean): void {
    const entry = this.#entry(owner);
    entry.paths.delete(key); // to the end of the line
    if (entry.paths.size >= MAX_MUX_ADDRESSES) this.#forgetOldest(owner, entry);
    entry.paths.set(key, proved);
    this.#byPath.set(key, owner);
  }

  /** A path that proved nothing goes first. */
  #forgetOldest(owner: Owner, entry: Entry): void {
    let victim: string | undefined;
    for (const [key, proved] of entry.paths) {
      victim ??= key;
      if (proved) continue;
      victim = key;
      break;
    }
    if (victim === undefined) return;
    this.#sentBy = new WeakMap();
    entry.paths.delete(victim);
    if (this.#byPath.get(victim) === owner) this.#byPath.delete(victim);
  }

  #entry(owner: Owner): Entry {
    let entry = this.#owners.get(owner);
    if (entry === undefined) {
      entry = { ufrags: new Set(), paths: new Map() };
      this.#owners.set(owner, entry);
    }
    return entry;
  }
}
