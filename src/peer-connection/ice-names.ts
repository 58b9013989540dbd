import type { InterfaceAddress, Platform } from '../core/index.ts';

/**
 * Names in the place of host addresses (draft-ietf-mmusic-mdns-ice-candidates): those of the peer are resolved, and ours
 * are published. After `close` no question is open and no name is answered for.
 */
export class IceNames {
  readonly #platform: Platform;
  readonly #interfaces: () => readonly InterfaceAddress[];
  readonly #questions = new Set<AbortController>();
  /** By address: one name for all candidates of an interface address, for as long as the connection lives (§3.1.1). */
  readonly #published = new Map<string, { readonly hostname: string; readonly withdraw: () => void }>();
  #closed = false;

  /** @param interfaces - the addresses that the connection uses: nothing is asked on other links. */
  constructor(platform: Platform, interfaces: () => readonly InterfaceAddress[]) {
    this.#platform = platform;
    this.#interfaces = interfaces;
  }

  /** @returns nothing for a name that nobody knows; undefined when closed meanwhile. Never rejects. */
  async resolve(hostname: string): Promise<readonly string[] | undefined> {
    const { mdns, env } = this.#platform;
    if (this.#closed) return undefined;
    const question = new AbortController();
    this.#questions.add(question);
    let addresses: readonly string[] = [];
    try {
      addresses =
        mdns === undefined
          ? await this.#platform.resolve(hostname)
          : await mdns.resolve(hostname, this.#interfaces(), question.signal);
    } catch (error) {
      env.trace.note('peer-connection', `a candidate's name does not resolve: ${String(error)}`);
    }
    this.#questions.delete(question);
    return this.#closed ? undefined : addresses;
  }

  /**
   * Publishes a name for an address. One that cannot be published (there is a bound, `docs/limits.md`) is used all the same:
   * it resolves to nothing, where the address in its place would show what it is to hide.
   * @returns the name, or undefined on a platform without multicast DNS. Never throws.
   */
  hide(address: InterfaceAddress): string | undefined {
    const { mdns, env } = this.#platform;
    if (mdns === undefined || this.#closed) return undefined;
    const known = this.#published.get(address.ip);
    if (known !== undefined) return known.hostname;
    const random = new Uint8Array(16);
    env.random(random);
    const hostname = `${formatUuid(random)}.local`;
    let withdraw = (): void => undefined;
    try {
      withdraw = mdns.publish(hostname, address);
    } catch (error) {
      env.trace.note('peer-connection', `nobody answers for a candidate's name: ${String(error)}`);
    }
    this.#published.set(address.ip, { hostname, withdraw });
    return hostname;
  }

  /** The address is gone. */
  forget(ip: string): void {
    this.#published.get(ip)?.withdraw();
    this.#published.delete(ip);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const question of this.#questions) question.abort();
    for (const { withdraw } of this.#published.values()) withdraw();
    this.#published.clear();
  }
}

/** A version 4 UUID (RFC 9562 §5.4) of 16 random bytes: the draft's §3.1.1 wants such names. */
function formatUuid(random: Uint8Array): string {
  const digits = Array.from(random, (byte, i) => {
    const value = i === 6 ? 0x40 | (byte & 0x0f) : i === 8 ? 0x80 | (byte & 0x3f) : byte;
    return value.toString(16).padStart(2, '0');
  }).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
