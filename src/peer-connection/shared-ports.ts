import type {
  ByteStream,
  Platform,
  StreamHandlers,
  StreamListener,
  TransportAddress,
  UdpHandlers,
  UdpSocket,
} from '../core/index.ts';
import type { PurertcOptions } from './configuration.ts';
import { ForwardingPlatform } from './forwarding-platform.ts';

/** Another platform, with the sockets of a mux in the place of its own. */
class SharedPorts extends ForwardingPlatform {
  readonly #udp: Platform;
  readonly #tcp: Platform;

  constructor(inner: Platform, udp: Platform, tcp: Platform) {
    super(inner);
    this.#udp = udp;
    this.#tcp = tcp;
  }

  override bindUdp(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> {
    return this.#udp.bindUdp(local, handlers);
  }

  override get bindPrivateUdp(): Platform['bindPrivateUdp'] {
    return this.#udp.bindPrivateUdp?.bind(this.#udp);
  }

  override async listenTcp(
    local: TransportAddress,
    accept: (stream: ByteStream) => StreamHandlers,
  ): Promise<StreamListener> {
    if (this.#tcp.listenTcp === undefined) throw new Error('this platform cannot listen for TCP');
    return this.#tcp.listenTcp(local, accept);
  }
}

/**
 * The platform of a connection: its own or the runtime's, with the ports that it shares. A mux is a platform itself, so that
 * one alone is enough.
 */
export function connectionPlatform({ platform, udpMux, tcpMux }: PurertcOptions, runtime: Platform): Platform {
  const given = [platform, udpMux, tcpMux].filter((one) => one !== undefined);
  const [only = runtime] = given;
  return given.length < 2 ? only : new SharedPorts(only, udpMux ?? only, tcpMux ?? only);
}
