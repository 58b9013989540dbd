import { dataSectionOf } from '../sdp/index.ts';
import type { IceCredentials } from './ice-credentials.ts';
import type { Negotiation } from './negotiation.ts';
import type { TaskQueue } from './task-queue.ts';

/** What the flag asks of its connection. */
interface NegotiationNeededOptions {
  readonly negotiation: Negotiation;
  readonly tasks: TaskQueue;
  /** Operations in the chain, the one under way included. */
  readonly operations: () => number;
  /** W3C "connection has created any RTCDataChannels". */
  readonly hasChannels: () => boolean;
  readonly fire: (event: Event) => void;
}

/** W3C §4.7.3: when an exchange is due, and the event that says so. */
export class NegotiationNeeded {
  readonly #given: NegotiationNeededOptions;
  /** W3C [[NegotiationNeeded]]. */
  #needed = false;
  /** W3C [[UpdateNegotiationNeededFlagOnEmptyChain]]. */
  #updateOnEmptyChain = false;
  /** W3C [[LocalIceCredentialsToReplace]], as `ufrag pwd`. */
  readonly #credentialsToReplace = new Set<string>();

  constructor(options: NegotiationNeededOptions) {
    this.#given = options;
  }

  /** W3C `restartIce`: the credentials of the local descriptions are to be replaced. */
  replaceCredentials(): void {
    this.#credentialsToReplace.clear();
    const { currentLocal, pendingLocal } = this.#given.negotiation.session;
    for (const description of [currentLocal, pendingLocal]) {
      const transport = dataSectionOf(description?.model)?.transport;
      if (transport !== undefined) this.#credentialsToReplace.add(`${transport.ufrag} ${transport.pwd}`);
    }
    this.update();
  }

  isToBeReplaced({ ufrag, pwd }: IceCredentials): boolean {
    return this.#credentialsToReplace.has(`${ufrag} ${pwd}`);
  }

  /** W3C §4.4.1.5 "set a session description" step 4.5.5: what was to be replaced and has been. */
  settle(now: IceCredentials): void {
    if (!this.isToBeReplaced(now)) this.#credentialsToReplace.clear();
  }

  /** Step 4.5.13: the state is stable again. */
  onStable(): void {
    this.#needed = false;
    this.update();
  }

  /** "Update the negotiation-needed flag." */
  update(): void {
    const { negotiation, tasks, fire } = this.#given;
    if (this.#waitForChain()) return;
    tasks.queue(() => {
      if (this.#waitForChain() || negotiation.session.state !== 'stable') return;
      const before = this.#needed;
      this.#needed = this.#check();
      if (this.#needed && !before) fire(new Event('negotiationneeded'));
    });
  }

  /** The last operation has settled (W3C §4.4.1.2 steps 8.4 to 8.6). */
  onEmptyChain(): void {
    if (!this.#updateOnEmptyChain) return;
    this.#updateOnEmptyChain = false;
    this.update();
  }

  #waitForChain(): boolean {
    if (this.#given.operations() === 0) return false;
    this.#updateOnEmptyChain = true;
    return true;
  }

  /** "Check if negotiation is needed." */
  #check(): boolean {
    if (this.#credentialsToReplace.size > 0) return true;
    const { currentLocal } = this.#given.negotiation.session;
    return this.#given.hasChannels() && dataSectionOf(currentLocal?.model) === undefined;
  }
}
