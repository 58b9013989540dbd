import { type Instant, NEVER, type Ring } from '../core/index.ts';
import type { DropReporter } from './control-queue.ts';
import type { DataReceiver } from './data-receiver.ts';
import type { DataSender } from './data-sender.ts';
import { MAX_RECONFIG_RESPONSES, MAX_STREAMS_PER_REQUEST } from './limits.ts';
import type { RttEstimator } from './rtt.ts';
import type { Tcb } from './tcb.ts';
import type { SctpEvent } from './types.ts';
import { encodeReConfig, RESULT, type ReConfigParameter, type ReConfigRequest } from './wire/re-config.ts';

/** A request of ours that the peer has not finally answered; RFC 6525 §5.1.1 allows one at a time. */
interface PendingRequest {
  readonly request: ReConfigRequest;
  /** Unwrapped: what the peer must have received before it can act. */
  readonly lastTsn: number;
  attempts: number;
  /** The peer said "in progress": ask again when it has everything. */
  waits: boolean;
}

/** What a {@link StreamReset} works with; all of one session. */
export interface StreamResetParts {
  readonly tcb: Tcb;
  readonly sender: DataSender;
  readonly receiver: DataReceiver;
  readonly rtt: RttEstimator;
  readonly events: Ring<SctpEvent>;
  readonly reporter: DropReporter;
}

/**
 * Stream reconfiguration (RFC 6525), both directions. A request is retransmitted until it is answered; an answer is
 * remembered until the next request, for when it was lost.
 */
export class StreamReset {
  readonly #sender: DataSender;
  readonly #receiver: DataReceiver;
  readonly #rtt: RttEstimator;
  readonly #events: Ring<SctpEvent>;
  readonly #reporter: DropReporter;
  readonly #supported: boolean;
  #outboundStreams: number;
  #nextRequestSeq: number;
  #pending: PendingRequest | undefined;
  readonly #queued: ReConfigRequest[] = [];
  #expectedSeq: number;
  /** Our answers to the requests of the peer's last chunk that had any, one or two: the last is for `#expectedSeq` - 1. */
  #lastResults: number[] = [];
  /** The chunk at hand has brought a request that was new. */
  #isNewChunk = false;
  #responses: ReConfigParameter[] = [];
  #sendRequest = false;
  /** Nothing will be sent any more that a request could be for. */
  #isOver = false;
  #timerAt: Instant = NEVER;

  constructor({ tcb, sender, receiver, rtt, events, reporter }: StreamResetParts) {
    this.#reporter = reporter;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#rtt = rtt;
    this.#events = events;
    this.#supported = tcb.extensions.reConfig;
    this.#outboundStreams = tcb.outboundStreams;
    this.#nextRequestSeq = tcb.localInitialTsn; // RFC 6525 §4.1
    this.#expectedSeq = tcb.peerInitialTsn;
  }

  get outboundStreams(): number {
    return this.#outboundStreams;
  }

  get isSupported(): boolean {
    return this.#supported;
  }

  /** Nothing of ours waits for an answer or for its turn. */
  get isDone(): boolean {
    return this.#pending === undefined && !this.hasChunk;
  }

  get timerAt(): Instant {
    return this.#timerAt;
  }

  /** RFC 6525 §5.1.2. A stream whose reset is under way is not reset twice. */
  reset(streamIds: readonly number[]): void {
    for (const id of streamIds) this.#sender.streams.beginReset(id);
  }

  /** RFC 6525 §5.1.5, §5.1.6. */
  addStreams(outbound: number, inbound: number): void {
    if (outbound > 0) this.#queued.push({ type: 'add-outgoing', requestSeq: 0, count: outbound });
    if (inbound > 0) this.#queued.push({ type: 'add-incoming', requestSeq: 0, count: inbound });
  }

  /**
   * The association shuts down and everything is sent: nothing is asked any more, only answered. Before that requests go on,
   * because messages may wait for the answer (`send` behind a reset).
   */
  endRequests(): void {
    this.#isOver = true;
    this.#finish();
  }

  /** The next RE-CONFIG chunk to send, if there is one. */
  takeChunk(now: Instant): Uint8Array | undefined {
    if (this.#responses.length > 0) {
      const parameters = this.#responses.splice(0, 2);
      return encodeReConfig(parameters);
    }
    this.#prepareRequest();
    const pending = this.#pending;
    if (pending === undefined || !this.#sendRequest) return undefined;
    this.#sendRequest = false;
    this.#timerAt = now + Math.min(this.#rtt.rtoMs * 2 ** pending.attempts, 60_000);
    return encodeReConfig([pending.request]);
  }

  #prepareRequest(): void {
    if (this.#pending !== undefined || this.#isOver) return;
    const { streams } = this.#sender;
    const requestSeq = this.#nextRequestSeq;
    let request: ReConfigRequest | undefined;
    const queued = this.#queued.shift();
    if (queued !== undefined) request = { ...queued, requestSeq };
    else if (streams.hasReadyResets(this.#sender.cumulativeAck)) {
      request = {
        type: 'outgoing-reset',
        requestSeq,
        // Not an answer to an Incoming SSN Reset: the sequence number expected next, less one (RFC 6525 §4.1).
        responseSeq: (this.#expectedSeq - 1) >>> 0,
        lastTsn: this.#sender.lastAssignedTsn,
        streamIds: streams.takeReadyResets(MAX_STREAMS_PER_REQUEST, this.#sender.cumulativeAck),
      };
    }
    if (request === undefined) return;
    this.#nextRequestSeq = (this.#nextRequestSeq + 1) >>> 0;
    const lastTsn = this.#sender.outstanding.next - 1;
    this.#pending = { request, lastTsn, attempts: 0, waits: false };
    this.#sendRequest = true;
  }

  /** Whether {@link takeChunk} has something. */
  get hasChunk(): boolean {
    if (this.#responses.length > 0 || (this.#pending !== undefined && this.#sendRequest)) return true;
    if (this.#pending !== undefined || this.#isOver) return false;
    return this.#queued.length > 0 || this.#sender.streams.hasReadyResets(this.#sender.cumulativeAck);
  }

  /** @returns true when the timer had expired without an answer, which counts against the association. */
  handleTimeout(now: Instant): boolean {
    const pending = this.#pending;
    if (now < this.#timerAt || pending === undefined) return false;
    this.#timerAt = NEVER;
    this.#sendRequest = true;
    const unanswered = !pending.waits;
    pending.waits = false;
    if (unanswered) pending.attempts++;
    return unanswered;
  }

  /** After a SACK: the peer may have everything now that it waited for. */
  noteProgress(): void {
    const pending = this.#pending;
    if (!pending?.waits || this.#sender.cumulativeAck < pending.lastTsn) return;
    pending.waits = false;
    this.#sendRequest = true;
  }

  /** Handles one RE-CONFIG chunk. */
  handle(parameters: readonly ReConfigParameter[]): void {
    this.#isNewChunk = false;
    for (const parameter of parameters) {
      if (parameter.type === 'response') this.#handleResponse(parameter.responseSeq, parameter.result);
      else this.#handleRequest(parameter);
    }
  }

  /** RFC 6525 §5.2.7. */
  #handleResponse(seq: number, result: number): void {
    const pending = this.#pending;
    if (pending === undefined || pending.request.requestSeq !== seq) return;
    if (result === RESULT.IN_PROGRESS) {
      pending.waits = true;
      pending.attempts = 0;
      this.noteProgress();
      return;
    }
    this.#finish();
    const ok = result === RESULT.PERFORMED || result === RESULT.NOTHING_TO_DO;
    const { request } = pending;
    if (request.type === 'outgoing-reset') {
      this.#sender.streams.finishReset(request.streamIds, ok);
      this.#events.push({ type: 'outgoing-reset', streamIds: request.streamIds, ok });
    } else if (request.type === 'add-outgoing' && ok) {
      this.#outboundStreams += request.count;
      this.#noteStreams();
    }
  }

  /** RFC 6525 §5.2.6: who is asked to add streams may answer by adding them, and say nothing else. */
  #noteGranted(): void {
    if (this.#pending?.request.type === 'add-incoming') this.#finish();
  }

  #finish(): void {
    this.#pending = undefined;
    this.#sendRequest = false;
    this.#timerAt = NEVER;
  }

  #noteStreams(): void {
    const { inboundStreams } = this.#receiver;
    this.#events.push({ type: 'streams-added', inboundStreams, outboundStreams: this.#outboundStreams });
  }

  /**
   * RFC 6525 §5.2.1: the expected sequence number, or one of the last chunk's for a retransmission, which is answered as
   * it was.
   *
   * A reset that is ahead of its data (§5.2.2 E2) is answered "in progress" and carried out when the peer asks again and the
   * data is here; until it has that answer it sends nothing on the streams, so nothing is waiting for us to be faster.
   * Carried out before, it would be carried out twice with dcSCTP, which asks again under the next number (where §5.2.7 has
   * the request repeated as it was), and the second time somebody else may have the streams.
   */
  #handleRequest(request: ReConfigRequest): void {
    const { requestSeq } = request;
    const results = this.#lastResults;
    const known = results.length - ((this.#expectedSeq - requestSeq) >>> 0);
    const earlier = results[known];
    if (earlier !== undefined) {
      const result = earlier === RESULT.IN_PROGRESS ? this.#perform(request) : earlier;
      results[known] = result;
      this.#respond(requestSeq, result);
      return;
    }
    if (requestSeq !== this.#expectedSeq) {
      this.#respond(requestSeq, RESULT.BAD_SEQUENCE_NUMBER);
      return;
    }
    this.#expectedSeq = (requestSeq + 1) >>> 0;
    const result = this.#perform(request);
    if (this.#isNewChunk) results.push(result);
    else this.#lastResults = [result];
    this.#isNewChunk = true;
    this.#respond(requestSeq, result);
  }

  #respond(responseSeq: number, result: number): void {
    // One answer a request: a flood of requests cannot grow the list.
    this.#responses = this.#responses.filter((p) => p.type !== 'response' || p.responseSeq !== responseSeq);
    if (this.#responses.length >= MAX_RECONFIG_RESPONSES) {
      this.#responses.shift();
      this.#reporter.drop('limit', 'RE-CONFIG response');
    }
    this.#responses.push({ type: 'response', responseSeq, result });
  }

  #perform(request: ReConfigRequest): number {
    switch (request.type) {
      case 'outgoing-reset': {
        if (request.streamIds.some((id) => id >= this.#receiver.inboundStreams)) return RESULT.WRONG_SSN;
        const lastTsn = this.#receiver.tsns.unwrap(request.lastTsn);
        if (this.#receiver.tsns.cumulative < lastTsn) return RESULT.IN_PROGRESS;
        this.#performReset(request.streamIds);
        return RESULT.PERFORMED;
      }
      case 'incoming-reset': // RFC 6525 §5.2.3: the peer asks us to reset ours
        if (request.streamIds.length === 0) return RESULT.DENIED; // all 65,535 of them: nobody means that
        if (request.streamIds.some((id) => id >= this.#outboundStreams)) return RESULT.WRONG_SSN;
        for (const id of request.streamIds) this.#sender.streams.beginReset(id);
        return RESULT.PERFORMED;
      case 'add-outgoing': // RFC 6525 §5.2.5
        if (this.#receiver.inboundStreams + request.count > 65_536) return RESULT.DENIED;
        this.#receiver.addStreams(request.count);
        this.#noteStreams();
        this.#noteGranted();
        return RESULT.PERFORMED;
      case 'add-incoming': // RFC 6525 §5.2.6: we are asked to ask
        if (this.#outboundStreams + request.count > 65_536) return RESULT.DENIED;
        if (this.#queued.length > 0) return RESULT.ALREADY_IN_PROGRESS;
        this.addStreams(request.count, 0);
        return RESULT.PERFORMED;
      case 'tsn-reset': // RFC 6525 §5.2.4: WebRTC never uses it
        return RESULT.DENIED;
    }
  }

  #performReset(streamIds: readonly number[]): void {
    this.#receiver.resetStreams(streamIds);
    this.#events.push({ type: 'incoming-reset', streamIds });
  }
}
