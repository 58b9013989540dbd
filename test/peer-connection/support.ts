import type { Driver, FiveTuple, SansIo, TransportAddress } from '../../src/core/index.ts';
import { type Certificate, certificateFingerprint, generateCertificate } from '../../src/crypto/index.ts';
import { nodeCrypto } from '../../src/io/node-crypto.ts';
import {
  type Fingerprint,
  PeerTransport,
  type PeerTransportEvent,
  type PeerTransportOptions,
  type RemoteTransport,
} from '../../src/peer-connection/index.ts';
import { type LinkOptions, SIM_EPOCH_MS, SimNetwork, SimWorld, simEnv } from '../sim/index.ts';

/** Made once for all seeds: key generation is not what these tests are about. Valid at the simulator's epoch. */
function makeCertificate(): Certificate {
  return generateCertificate({
    random: (out) => nodeCrypto.random(out),
    wallClockMs: () => SIM_EPOCH_MS,
    crypto: nodeCrypto,
    trace: { state: () => undefined, drop: () => undefined, note: () => undefined },
  });
}
const first: Certificate = makeCertificate();
const second: Certificate = makeCertificate();
export const CERTIFICATES: readonly [Certificate, Certificate] = [first, second];

export function fingerprintOf(
  certificate: Certificate,
  hash: 'sha-256' | 'sha-1' | 'sha-512' = 'sha-256',
): Fingerprint {
  return { algorithm: hash, value: certificateFingerprint(nodeCrypto, hash, certificate.der) };
}

export interface SimPeer {
  readonly transport: PeerTransport;
  readonly driver: Driver<PeerTransportEvent, FiveTuple>;
  readonly address: TransportAddress;
  readonly events: PeerTransportEvent[];
  /** Called for each event before it is recorded. */
  onEvent: ((event: PeerTransportEvent) => void) | undefined;
  readonly unplug: () => void;
}

export interface PairOptions {
  readonly link?: LinkOptions;
  /** The role of peer `a` in DTLS. */
  readonly dtlsRole?: 'client' | 'server';
  readonly a?: Partial<PeerTransportOptions>;
  readonly b?: Partial<PeerTransportOptions>;
  /** What `a` is told about `b`, and the other way round. */
  readonly tellA?: Partial<RemoteTransport>;
  readonly tellB?: Partial<RemoteTransport>;
  /** Milliseconds after which the descriptions are exchanged; candidates trickle over the same way. */
  readonly signalingMs?: number;
}

/** Two transports on a virtual network, with a signalling path that loses nothing. */
export class SimPair {
  readonly world: SimWorld;
  readonly network: SimNetwork;
  readonly a: SimPeer;
  readonly b: SimPeer;
  /** Sees every datagram that a peer is handed, before the peer does. Borrowed bytes. */
  tap: ((bytes: Uint8Array, to: SimPeer) => void) | undefined;

  constructor(seed: number, options: PairOptions = {}) {
    this.world = new SimWorld(seed);
    this.network = new SimNetwork(this.world, options.link ?? { latencyMs: 10 });
    this.a = this.#peer(0, { ip: '10.0.0.1', port: 1001 }, { iceRole: 'controlling', ...options.a });
    this.b = this.#peer(1, { ip: '10.0.0.2', port: 1002 }, { iceRole: 'controlled', ...options.b });
    const signalingMs = options.signalingMs ?? 0;
    const roleA = options.dtlsRole ?? 'server';
    const roleB = roleA === 'client' ? 'server' : 'client';
    this.world.schedule(signalingMs, () => this.#introduce(this.a, this.b, { dtlsRole: roleA, ...options.tellA }, 1));
    this.world.schedule(signalingMs / 2, () =>
      this.#introduce(this.b, this.a, { dtlsRole: roleB, ...options.tellB }, 0),
    );
  }

  #peer(index: 0 | 1, address: TransportAddress, options: Partial<PeerTransportOptions>): SimPeer {
    const transport = new PeerTransport({
      env: simEnv(this.world, nodeCrypto),
      certificate: CERTIFICATES[index],
      iceRole: 'controlling',
      ...options,
    });
    const events: PeerTransportEvent[] = [];
    const core: SansIo<PeerTransportEvent, FiveTuple> = {
      handleInput: (bytes, path, now) => {
        this.tap?.(bytes, peer);
        transport.handleInput(bytes, path, now);
      },
      handleTimeout: (now) => transport.handleTimeout(now),
      pollTransmit: (slot, now) => transport.pollTransmit(slot, now),
      pollEvent: () => transport.pollEvent(),
      nextTimeout: () => transport.nextTimeout(),
    };
    const attached = this.network.attach(core, [address], (event) => {
      peer.onEvent?.(event);
      events.push(event);
    });
    const peer: SimPeer = {
      transport,
      driver: attached.driver,
      address,
      events,
      onEvent: undefined,
      unplug: attached.close,
    };
    return peer;
  }

  /** `peer` learns what `other` would have written into its description. */
  #introduce(
    peer: SimPeer,
    other: SimPeer,
    remote: Partial<RemoteTransport> & Pick<RemoteTransport, 'dtlsRole'>,
    of: 0 | 1,
  ): void {
    const { transport, driver } = peer;
    driver.mutate((now) => {
      transport.ice.addHostCandidate(peer.address, now);
      transport.ice.endOfLocalCandidates(now);
      transport.ice.setRemoteParameters(other.transport.ice.localParameters, now);
      const { ip, port } = other.address;
      const type = 'host';
      const candidate = {
        foundation: '1',
        component: 1,
        protocol: 'udp',
        priority: 2130706431,
        address: ip,
        port,
        type,
      } as const;
      transport.ice.addRemoteCandidate(candidate, now);
      transport.connect({ fingerprints: [fingerprintOf(CERTIFICATES[of])], maxMessageSize: 262_144, ...remote }, now);
    });
  }

  /** Runs until both sides' SCTP is up. @returns whether that happened. */
  open(untilMs = 60_000): boolean {
    return this.world.run({ until: untilMs, done: () => isUp(this.a) && isUp(this.b) });
  }
}

function isUp(peer: SimPeer): boolean {
  return peer.events.some((event) => event.type === 'sctp-state' && event.state === 'connected');
}

/** States of one layer, in order. */
export function statesOf(peer: SimPeer, type: 'dtls-state' | 'sctp-state' | 'ice-state' | 'gathering-state'): string[] {
  return peer.events.flatMap((event) => (event.type === type ? [event.state] : []));
}
