import type { Server } from 'node:net';

/**
 * A server whose system cannot give it a connection (out of memory, a policy) goes on: the next one may come. Told once, as
 * a process warning.
 * @param name - for the warning, such as `the TURN listener`.
 */
export function outliveAcceptErrors(server: Server, name: string): void {
  let told = false;
  server.on('error', (error) => {
    if (told) return;
    told = true;
    process.emitWarning(`${name} could not accept a connection: ${error.message}`, 'PurertcWarning');
  });
}
