import { Command, Option } from 'commander';
import { platform } from '../../io/index.ts';
import { CliError, describeError } from '../exit.ts';
import { describeStunAnswer, parseStunTarget, queryStunServer, resolveStunServers } from '../stun-query.ts';

interface Options {
  readonly ipv4?: true;
  readonly ipv6?: true;
  readonly behaviour: boolean;
  readonly lifetime?: true;
  readonly json?: true;
}

export function stunCommand(): Command {
  return new Command('stun')
    .description('ask a STUN server how this machine is seen from outside, and what its NAT does')
    .argument('<server>', 'host, host:port or stun: URI')
    .addOption(new Option('-4, --ipv4', 'over IPv4 only').conflicts('ipv6'))
    .addOption(new Option('-6, --ipv6', 'over IPv6 only').conflicts('ipv4'))
    .option('--no-behaviour', 'do not ask about NAT behaviour (RFC 5780), which can take half a minute')
    .option('--lifetime', 'find out how long the NAT keeps an address that is not used (RFC 5780), which takes minutes')
    .option('--json', 'one JSON object a line')
    .action(async (server: string, options: Options) => {
      const family = options.ipv4 === true ? 4 : options.ipv6 === true ? 6 : undefined;
      const query = {
        platform,
        family,
        behaviour: options.behaviour,
        onLifetimeStep: options.lifetime === true ? (words: string) => console.error(`purertc: ${words}`) : undefined,
      } as const;
      const addresses = await resolveStunServers(parseStunTarget(server), query);
      const failures: string[] = [];
      for (const address of addresses) {
        try {
          const answer = await queryStunServer(address, query);
          for (const line of options.json === true ? [JSON.stringify(answer)] : describeStunAnswer(answer))
            console.log(line);
        } catch (error) {
          failures.push(describeError(error));
        }
      }
      // A machine without IPv6 is the usual case: one family that answers is enough.
      if (failures.length === addresses.length) throw new CliError(failures.join('; '));
      for (const failure of failures) console.error(`purertc: ${failure}`);
    });
}
