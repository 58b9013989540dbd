/**
 * What a peer does when it is told to, the same for every subject. The function's text is also what runs in a page of
 * Chromium, so it names nothing outside itself; it uses only what every W3C implementation has, through `on…` handlers,
 * which all subjects support.
 *
 * @param configuration - given to every RTCPeerConnection.
 * @param usage - `{cpuUs, rssBytes}` of this end so far; zeros where somebody else counts it.
 * @param early - do not wait for the end of gathering: one address is all of it on one machine, and libwebrtc ends its
 * gathering 130 ms after it has told its last candidate.
 */
export function createPeer(RTCPeerConnection, configuration, usage, early) {
  /** A slow subject must not be left with a backlog of a minute: the buffer grows while it empties quickly. */
  const FIRST_HIGH_BYTES = 65_536;
  const QUICK_MS = 250;
  const SLOW_MS = 1000;
  /** `bufferedamountlow` is late or missing in some subjects. */
  const POLL_MS = 4;
  const PING_BYTES = 32;
  const HOST_CANDIDATE = /^a=candidate:\S+ 1 udp \d+ \d+\.\d+\.\d+\.\d+ \d+ typ host/im;

  let pc;
  let channel;
  let whenOpen;
  let onMessage = () => undefined;
  const received = { bytes: 0, messages: 0 };
  const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  /** One turn of the event loop, in which nothing but other events passes: a timer would sleep for a millisecond. */
  const turn = () =>
    new Promise((resolve) => {
      if (typeof setImmediate === 'function') {
        setImmediate(resolve);
        return;
      }
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve();
      port2.postMessage(undefined);
    });
  /** With the time since `start`: what the harness takes to carry it is nobody's. */
  const describe = (start) => {
    const { type, sdp } = pc.localDescription;
    return { type, sdp, tookMs: performance.now() - start };
  };
  const sample = () => ({ ...received, ...usage(), atMs: performance.now() });

  function adopt(next) {
    channel = next;
    channel.binaryType = 'arraybuffer';
    const opened = new Promise((resolve) => {
      channel.onopen = () => resolve();
      if (channel.readyState === 'open') resolve();
    });
    channel.onmessage = ({ data }) => {
      received.messages++;
      received.bytes += typeof data === 'string' ? data.length : data.byteLength;
      onMessage(data);
    };
    return opened;
  }

  /** Until the description says where to reach us. */
  function reachable() {
    return new Promise((resolve) => {
      const check = () => {
        if (pc.iceGatheringState === 'complete') resolve();
        else if (early && HOST_CANDIDATE.test(pc.localDescription.sdp)) resolve();
      };
      pc.onicegatheringstatechange = check;
      pc.onicecandidate = check;
      check();
    });
  }

  /** Until no more than `low` bytes wait in the channel, or `end`. */
  function lowered(low, end) {
    return new Promise((resolve) => {
      const timer = setInterval(() => look(), POLL_MS);
      const look = () => {
        if (channel.bufferedAmount > low && performance.now() < end && channel.readyState === 'open') return;
        clearInterval(timer);
        channel.onbufferedamountlow = null;
        resolve();
      };
      channel.bufferedAmountLowThreshold = low;
      channel.onbufferedamountlow = look;
      look();
    });
  }

  return {
    async offer() {
      const start = performance.now();
      pc = new RTCPeerConnection(configuration);
      whenOpen = adopt(pc.createDataChannel('bench'));
      await pc.setLocalDescription(await pc.createOffer());
      await reachable();
      return describe(start);
    },
    async answer({ type, sdp }) {
      const start = performance.now();
      pc = new RTCPeerConnection(configuration);
      whenOpen = new Promise((resolve) => {
        pc.ondatachannel = (event) => resolve(adopt(event.channel));
      });
      await pc.setRemoteDescription({ type, sdp });
      await pc.setLocalDescription(await pc.createAnswer());
      await reachable();
      return describe(start);
    },
    /** @returns the milliseconds until the channel was open at this end. */
    async accept({ type, sdp }) {
      const start = performance.now();
      await pc.setRemoteDescription({ type, sdp });
      await whenOpen;
      return performance.now() - start;
    },
    open: () => whenOpen,
    isOpen: () => channel.readyState === 'open',
    /**
     * Sends messages of `size` for `ms`, as fast as `bufferedAmount` backpressure lets it.
     * @param ceiling - never more than so many bytes wait in the channel.
     */
    async flood(size, ms, ceiling) {
      const message = new Uint8Array(size);
      const end = performance.now() + ms;
      const least = 2 * size;
      let high = Math.max(least, FIRST_HIGH_BYTES);
      while (performance.now() < end) {
        // A subject may count late what it was given: never more than the buffer in one go.
        for (let sent = 0; sent < high && channel.bufferedAmount < high; sent += size) channel.send(message);
        const start = performance.now();
        await lowered(high / 4, end);
        const tookMs = performance.now() - start;
        if (tookMs < 1) await turn(); // other events must have theirs
        if (tookMs < QUICK_MS) high = Math.max(least, Math.min(2 * high, ceiling));
        else if (tookMs > SLOW_MS) high = Math.max(least, high / 2);
      }
    },
    /** @returns whether everything that was sent has left. */
    async drain(ms) {
      await lowered(0, performance.now() + ms);
      return channel.bufferedAmount === 0;
    },
    /** What this end received and used in `ms`. */
    async measure(ms) {
      const before = sample();
      await delay(ms);
      const after = sample();
      return {
        ms: after.atMs - before.atMs,
        bytes: after.bytes - before.bytes,
        messages: after.messages - before.messages,
        cpuUs: after.cpuUs - before.cpuUs,
        rssBytes: after.rssBytes,
      };
    },
    /** Round trips of a 32-byte message one after the other, in microseconds: `count` of them, or as many as fit in `ms`. */
    ping(count, ms) {
      const message = new Uint8Array(PING_BYTES);
      const times = [];
      const end = performance.now() + ms;
      return new Promise((resolve) => {
        let start;
        const next = () => {
          start = performance.now();
          channel.send(message);
        };
        onMessage = () => {
          const now = performance.now();
          times.push((now - start) * 1000);
          if (times.length < count && now < end) return next();
          onMessage = () => undefined;
          resolve(times);
        };
        next();
      });
    },
    echo(on) {
      onMessage = on ? (data) => channel.send(data) : () => undefined;
    },
    /** Holds the thread for `ms` at every message: a reader that is slower than its sender. */
    readSlowly(ms) {
      onMessage = () => {
        for (const end = performance.now() + ms; performance.now() < end; );
      };
    },
    sample,
    close() {
      pc.close();
    },
  };
}
