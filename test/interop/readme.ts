/** The program that the README shows, as JavaScript. @throws when there is none. */
export function readmeProgram(readme: string): string {
  const program = /```ts\n(import \{ RTCPeerConnection \}[\s\S]*?)```/.exec(readme)?.[1];
  if (program === undefined) throw new Error('the README has no program');
  return program.replaceAll('Description!', 'Description'); // the only TypeScript in it
}

/** The code of all blocks in one of `languages`, in the order of the page. */
export function codeBlocks(
  page: string,
  languages: readonly string[],
): { readonly language: string; readonly code: string }[] {
  return [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].flatMap(([, language = '', code = '']) =>
    languages.includes(language) ? [{ language, code }] : [],
  );
}
