import type { FiveTuple, TransportAddress } from '../core/index.ts';
import { STUN_METHODS, type StunWriter } from '../stun/index.ts';
import type { ClientChannel, ClientPermission } from './client-peers.ts';
import type { TurnClientOptions } from './client-types.ts';

/** IP protocol numbers in REQUESTED-TRANSPORT. */
const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;

/** What a request is for: decides what is in it, and what its response, error or silence means. */
export type Purpose =
  | { readonly name: 'allocate'; readonly dontFragment: boolean }
  | { readonly name: 'refresh'; readonly delete: boolean }
  | { readonly name: 'permission'; readonly permission: ClientPermission }
  | { readonly name: 'channel'; readonly channel: ClientChannel }
  | { readonly name: 'connect'; readonly peer: TransportAddress }
  | { readonly name: 'move'; readonly path: FiveTuple; readonly ticket: Uint8Array };

const METHODS: Readonly<Record<Purpose['name'], number>> = {
  allocate: STUN_METHODS.Allocate,
  refresh: STUN_METHODS.Refresh,
  permission: STUN_METHODS.CreatePermission,
  channel: STUN_METHODS.ChannelBind,
  connect: STUN_METHODS.Connect,
  move: STUN_METHODS.Refresh,
};

export function methodOf(purpose: Purpose): number {
  return METHODS[purpose.name];
}

/** The attributes of a request, without credentials. */
export function writeRequest(w: StunWriter, purpose: Purpose, options: TurnClientOptions): void {
  switch (purpose.name) {
    case 'allocate':
      writeAllocate(w, options, purpose.dontFragment);
      break;
    case 'refresh': // RFC 8656 §8.1; without a family it goes for both addresses of a dual allocation
      if (purpose.delete) w.add('LIFETIME', 0);
      else if (options.lifetimeS !== undefined) w.add('LIFETIME', options.lifetimeS);
      break;
    case 'permission': // RFC 8656 §10.1: the port is ignored
      w.add('XOR-PEER-ADDRESS', { ip: purpose.permission.ip, port: 0 });
      break;
    case 'channel': // RFC 8656 §12.1
      w.add('CHANNEL-NUMBER', purpose.channel.number);
      w.add('XOR-PEER-ADDRESS', purpose.channel.peer);
      break;
    case 'connect': // RFC 6062 §4.3
      w.add('XOR-PEER-ADDRESS', purpose.peer);
      break;
    case 'move': // RFC 8016 §3.2.1
      if (options.lifetimeS !== undefined) w.add('LIFETIME', options.lifetimeS);
      w.add('MOBILITY-TICKET', purpose.ticket);
      break;
  }
  if (options.origin !== undefined) w.add('ORIGIN', options.origin);
  const named = purpose.name === 'allocate' || purpose.name === 'refresh' || purpose.name === 'move';
  if (named && options.software !== undefined) w.add('SOFTWARE', options.software); // RFC 8656 §5
}

/** RFC 8656 §7.1, RFC 6062 §4.1, RFC 8016 §3.1.1. */
function writeAllocate(w: StunWriter, o: TurnClientOptions, dontFragment: boolean): void {
  w.add('REQUESTED-TRANSPORT', o.relayTransport === 'tcp' ? PROTOCOL_TCP : PROTOCOL_UDP);
  if (o.requestedFamily !== undefined) w.add('REQUESTED-ADDRESS-FAMILY', o.requestedFamily);
  if (o.additionalFamily === true) w.add('ADDITIONAL-ADDRESS-FAMILY', 6).add('COTURN-ADDITIONAL-ADDRESS-FAMILY', 6);
  if (o.lifetimeS !== undefined) w.add('LIFETIME', o.lifetimeS);
  if (o.evenPort !== undefined) w.add('EVEN-PORT', o.evenPort === 'reserve-next');
  if (o.reservationToken !== undefined) w.add('RESERVATION-TOKEN', o.reservationToken);
  if (dontFragment) w.add('DONT-FRAGMENT', true);
  if (o.mobility === true) w.add('MOBILITY-TICKET', new Uint8Array(0));
}
