/** The program that the README shows, as JavaScript. @throws when there is none. */
export function readmeProgram(readme: string): string {
  const program = /```ts\n(import \{ RTCPeerConnection \}[\s\S]*?)```/.exec(readme)?.[1];
  if (program === undefined) throw new Error('the README has no program');
  return program.replaceAll('Description!', 'Description'); // the only TypeScript in it
}
