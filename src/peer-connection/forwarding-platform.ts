import type {
  ByteStream,
  InterfaceAddress,
  Platform,
  SrvRecord,
  StreamListener,
  TransportAddress,
  UdpHandlers,
  UdpSocket,
} from '../core/index.ts';

/** A {@link Platform} that is another one, but for what a subclass does differently. */
export class ForwardingPlatform implements Platform {
  readonly env: Platform['env'];
  protected readonly inner: Platform;

  constructor(inner: Platform) {
    this.inner = inner;
    this.env = inner.env;
  }

  get mdns(): Platform['mdns'] {
    return this.inner.mdns;
  }

  now(): number {
    return this.inner.now();
  }

  setTimer(at: number, fire: () => void): () => void {
    return this.inner.setTimer(at, fire);
  }

  queueTask(task: () => void): void {
    this.inner.queueTask(task);
  }

  interfaces(): readonly InterfaceAddress[] {
    return this.inner.interfaces();
  }

  watchInterfaces(onChange: () => void): () => void {
    return this.inner.watchInterfaces?.(onChange) ?? ((): void => undefined);
  }

  bindUdp(local: TransportAddress, handlers: UdpHandlers): Promise<UdpSocket> {
    return this.inner.bindUdp(local, handlers);
  }

  get bindPrivateUdp(): Platform['bindPrivateUdp'] {
    return this.inner.bindPrivateUdp?.bind(this.inner);
  }

  async connectTcp(...given: Parameters<NonNullable<Platform['connectTcp']>>): Promise<ByteStream> {
    if (this.inner.connectTcp === undefined) throw new Error('this platform has no TCP');
    return this.inner.connectTcp(...given);
  }

  async listenTcp(...given: Parameters<NonNullable<Platform['listenTcp']>>): Promise<StreamListener> {
    if (this.inner.listenTcp === undefined) throw new Error('this platform cannot listen for TCP');
    return this.inner.listenTcp(...given);
  }

  async connectTls(...given: Parameters<NonNullable<Platform['connectTls']>>): Promise<ByteStream> {
    if (this.inner.connectTls === undefined) throw new Error('this platform has no TLS');
    return this.inner.connectTls(...given);
  }

  rootCertificates(): readonly string[] {
    return this.inner.rootCertificates?.() ?? [];
  }

  async resolveSrv(name: string): Promise<readonly SrvRecord[]> {
    return (await this.inner.resolveSrv?.(name)) ?? [];
  }

  resolve(hostname: string): Promise<readonly string[]> {
    return this.inner.resolve(hostname);
  }
}
