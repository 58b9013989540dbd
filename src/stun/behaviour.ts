import {
  DropCounters,
  type Env,
  type FiveTuple,
  type Instant,
  ipFamily,
  NEVER,
  Ring,
  type SansIo,
  sameAddress,
  type TransmitSlot,
  type TransportAddress,
} from '../core/index.ts';
import { StunClient, type StunClientEvent } from './client.ts';
import type { ScheduleOptions } from './schedule.ts';
import type { ChangeRequest } from './values.ts';

/** RFC 4787 §4.1: whether one inner address keeps its outer address towards different peers. */
export type MappingBehaviour =
  | 'none' // the outer address is our own: there is no NAT
  | 'endpoint-independent'
  | 'address-dependent'
  | 'address-and-port-dependent'
  | 'unknown';

/** RFC 4787 §5: who may send to the outer address once it exists. */
export type FilteringBehaviour =
  | 'endpoint-independent'
  | 'address-dependent'
  | 'address-and-port-dependent'
  | 'unknown';

export type BehaviourEvent =
  | {
      readonly type: 'result';
      /** Our public address as the server's primary address sees it. */
      readonly mapped: TransportAddress;
      readonly mapping: MappingBehaviour;
      readonly filtering: FilteringBehaviour;
    }
  /** The first test got no answer: UDP does not pass, or nobody is there (RFC 5780 §4.2). */
  | { readonly type: 'failed'; readonly reason: 'no-udp' };

export interface BehaviourDiscoveryOptions {
  readonly env: Env;
  /** Our socket, by its real address, and the server's primary address. Use a fresh socket: filtering depends on what was sent before. */
  readonly path: FiveTuple;
  /** For all tests; two of them end by silence, so the default is shorter than RFC 8489's 39.5 s: 7.5 s. */
  readonly schedule?: ScheduleOptions;
}

/** Sent at 0, 500, 1500 and 3500 ms, given up at 7500 ms. */
export const BEHAVIOUR_SCHEDULE: ScheduleOptions = { rtoMs: 500, maxSends: 4, finalWaitFactor: 8 };

type Step = 'first' | 'filtering-2' | 'filtering-3' | 'mapping-2' | 'mapping-3' | 'done';

/**
 * What kind of NAT is in front of us (RFC 5780 §4.2–§4.4). In protocol order:
 *
 * ```text
 * first        plain, to the primary address              → mapped address, the server's other address
 * filtering-2  answer from the other address and port?    → an answer: endpoint-independent filtering
 * filtering-3  answer from the other port?                → an answer: address-dependent, silence: and port-dependent
 * mapping-2    to the other address, same port            → mapped as before: endpoint-independent mapping
 * mapping-3    to the other address and port              → as in mapping-2: address-dependent, else and port-dependent
 * ```
 *
 * Filtering is tested before mapping, because mapping's requests to the other address would open the filter for it
 * (RFC 5780 §4.5).
 */
export class BehaviourDiscovery implements SansIo<BehaviourEvent, FiveTuple> {
  readonly drops: DropCounters = new DropCounters();
  readonly #env: Env;
  readonly #path: FiveTuple;
  readonly #schedule: ScheduleOptions;
  readonly #events = new Ring<BehaviourEvent>();
  #step: Step = 'first';
  #client: StunClient;
  #mapped: TransportAddress = { ip: '0.0.0.0', port: 0 };
  #other: TransportAddress | undefined;
  #secondMapped: TransportAddress | undefined;
  #filtering: FilteringBehaviour = 'unknown';
  #answeredFrom: TransportAddress | undefined;

  constructor(options: BehaviourDiscoveryOptions, now: Instant) {
    this.#env = options.env;
    this.#path = options.path;
    this.#schedule = options.schedule ?? BEHAVIOUR_SCHEDULE;
    this.#client = this.#ask(options.path.remote, undefined, now);
  }

  handleInput(bytes: Uint8Array, path: FiveTuple, now: Instant): void {
    if (this.#step === 'done') {
      this.drops.count('closed');
      return;
    }
    this.#answeredFrom = path.remote;
    this.#client.handleInput(bytes, path, now);
    this.#advance(now);
  }

  handleTimeout(now: Instant): void {
    if (this.#step === 'done') return;
    this.#client.handleTimeout(now);
    this.#advance(now);
  }

  pollTransmit(slot: TransmitSlot<FiveTuple>): boolean {
    return this.#step !== 'done' && this.#client.pollTransmit(slot);
  }

  pollEvent(): BehaviourEvent | undefined {
    return this.#events.shift();
  }

  nextTimeout(): Instant {
    return this.#step === 'done' ? NEVER : this.#client.nextTimeout();
  }

  #ask(remote: TransportAddress, changeRequest: ChangeRequest | undefined, now: Instant): StunClient {
    const { protocol, local } = this.#path;
    return new StunClient(
      {
        env: this.#env,
        path: { protocol, local, remote },
        schedule: this.#schedule,
        ...(changeRequest === undefined ? {} : { changeRequest }),
      },
      now,
    );
  }

  #advance(now: Instant): void {
    const event = this.#client.pollEvent();
    if (event === undefined) return;
    const primary = this.#path.remote;
    switch (this.#step) {
      case 'first':
        this.#handleFirst(event, now);
        break;
      case 'filtering-2':
        if (event.type === 'mapped') this.#startMapping(this.#ifChanged('endpoint-independent'), now);
        else if (event.reason !== 'timeout') this.#startMapping('unknown', now);
        else this.#start('filtering-3', primary, { changeIp: false, changePort: true }, now);
        break;
      case 'filtering-3':
        if (event.type === 'mapped') this.#startMapping(this.#ifChanged('address-dependent'), now);
        else this.#startMapping(event.reason === 'timeout' ? 'address-and-port-dependent' : 'unknown', now);
        break;
      case 'mapping-2':
        this.#handleSecondMapping(event, now);
        break;
      case 'mapping-3':
        if (event.type !== 'mapped' || this.#secondMapped === undefined) this.#finish('unknown');
        else if (sameAddress(event.address, this.#secondMapped)) this.#finish('address-dependent');
        else this.#finish('address-and-port-dependent');
        break;
      case 'done':
        break;
    }
  }

  #handleFirst(event: StunClientEvent, now: Instant): void {
    if (event.type !== 'mapped') {
      this.#step = 'done';
      this.#events.push({ type: 'failed', reason: 'no-udp' });
      return;
    }
    this.#mapped = event.address;
    this.#other = event.otherAddress;
    const usable =
      this.#other !== undefined &&
      this.#other.ip !== this.#path.remote.ip &&
      this.#other.port !== this.#path.remote.port &&
      ipFamily(this.#other.ip) === ipFamily(this.#path.remote.ip);
    if (!usable) this.#finish(this.#isNatted() ? 'unknown' : 'none');
    else this.#start('filtering-2', this.#path.remote, { changeIp: true, changePort: true }, now);
  }

  /** A server that ignores CHANGE-REQUEST answers from where it was asked, which proves nothing. */
  #ifChanged(filtering: FilteringBehaviour): FilteringBehaviour {
    const from = this.#answeredFrom;
    return from === undefined || sameAddress(from, this.#path.remote) ? 'unknown' : filtering;
  }

  #startMapping(filtering: FilteringBehaviour, now: Instant): void {
    this.#filtering = filtering;
    const other = this.#other;
    if (!this.#isNatted() || other === undefined) this.#finish('none');
    else this.#start('mapping-2', { ip: other.ip, port: this.#path.remote.port }, undefined, now);
  }

  #handleSecondMapping(event: StunClientEvent, now: Instant): void {
    const other = this.#other;
    if (event.type !== 'mapped' || other === undefined) {
      this.#finish('unknown');
    } else if (sameAddress(event.address, this.#mapped)) {
      this.#finish('endpoint-independent');
    } else {
      this.#secondMapped = event.address;
      this.#start('mapping-3', other, undefined, now);
    }
  }

  #start(step: Step, remote: TransportAddress, change: ChangeRequest | undefined, now: Instant): void {
    this.#env.trace.state('stun', this.#step, step, 'behaviour discovery');
    this.#step = step;
    this.#client = this.#ask(remote, change, now);
  }

  #finish(mapping: MappingBehaviour): void {
    this.#step = 'done';
    this.#events.push({ type: 'result', mapped: this.#mapped, mapping, filtering: this.#filtering });
  }

  #isNatted(): boolean {
    return !sameAddress(this.#mapped, this.#path.local);
  }
}

/** The result in words that a person understands, one sentence each. */
export function describeBehaviour(result: Extract<BehaviourEvent, { type: 'result' }>): string[] {
  return [MAPPING_WORDS[result.mapping], FILTERING_WORDS[result.filtering]];
}

const MAPPING_WORDS: Readonly<Record<MappingBehaviour, string>> = {
  none: 'There is no address translation: peers reach this machine at its own address.',
  'endpoint-independent': 'The NAT uses one public address for all peers: direct connections usually work.',
  'address-dependent':
    'The NAT uses another public port for each peer address: direct connections need luck or a relay.',
  'address-and-port-dependent': 'The NAT uses another public port for each peer: most connections need a TURN relay.',
  unknown: 'The server cannot tell how the NAT chooses public addresses.',
};

const FILTERING_WORDS: Readonly<Record<FilteringBehaviour, string>> = {
  'endpoint-independent': 'Anybody may send to the public address once it is open.',
  'address-dependent': 'Only hosts that this machine has sent to may send to it.',
  'address-and-port-dependent': 'Only the exact addresses and ports that this machine has sent to may send to it.',
  unknown: 'The server cannot tell who may send to the public address.',
};
