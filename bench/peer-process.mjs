/** The process side of a peer: its commands over IPC, and what it has used. */

export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Processor time in microseconds, and memory: the most it ever had. */
export function usage() {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return { cpuUs: userCPUTime + systemCPUTime, rssBytes: maxRSS * 1024 };
}

/** @param commands - by name; may be asynchronous, and may throw. */
export function serveCommands(commands) {
  process.on('message', async ({ id, command, args }) => {
    let answer;
    try {
      answer = { id, result: await commands[command](...args) };
    } catch (error) {
      answer = { id, error: String(error?.stack ?? error) };
    }
    if (process.connected) process.send(answer);
  });
  process.on('disconnect', () => process.exit());
  process.send({ id: 'ready' });
}
