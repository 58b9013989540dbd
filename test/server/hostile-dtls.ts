import { concatBytes, Driver, type TransmitSlot, type TransportAddress } from '../../src/core/index.ts';
import { DtlsClient, type DtlsClientOptions, type DtlsEvent } from '../../src/dtls/index.ts';
import { platform, WakeTimer } from '../../src/io/index.ts';

/** What leaves instead of the datagrams that leave together. */
export type Tamper = (batch: readonly Uint8Array[]) => readonly Uint8Array[];

/** All of it as one datagram: a message and the goodbye behind it, for one. */
export const joined: Tamper = (batch) => (batch.length === 0 ? [] : [concatBytes(...batch)]);

export interface HostileDtls {
  readonly client: DtlsClient;
  readonly driver: Driver<DtlsEvent>;
  /** Resolves when the handshake has come to an end, good or bad. */
  readonly settled: Promise<void>;
  close(): void;
}

/** A client with any options, whose datagrams are tampered with behind its back. It has said hello already. */
export async function hostileDtls(
  remote: TransportAddress,
  options: Partial<DtlsClientOptions> = {},
  tamper: Tamper = (batch) => batch,
): Promise<HostileDtls> {
  const client = new DtlsClient({ env: platform.env, verifyPeer: () => undefined, ...options });
  const batch: Uint8Array[] = [];
  const timer = new WakeTimer(platform, () => driver.wake());
  const socket = await platform.bindUdp(
    { ip: '127.0.0.1', port: 0 },
    { onDatagram: (bytes) => driver.input(bytes, undefined), onError: () => undefined },
  );
  const host = {
    now: () => platform.now(),
    send: ({ buffer, offset, length }: TransmitSlot) => void batch.push(buffer.slice(offset, offset + length)),
    flush: () => {
      for (const datagram of tamper(batch.splice(0))) socket.send(datagram, 0, datagram.length, remote);
    },
    wakeAt: (at: number) => timer.arm(at),
  };
  let settle: () => void = () => undefined;
  const settled = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const driver: Driver<DtlsEvent> = new Driver<DtlsEvent>(client, host, ({ type }) => {
    if (type === 'connected' || type === 'failed' || type === 'closed') settle();
  });
  driver.mutate((now) => client.start(now));
  return {
    client,
    driver,
    settled,
    close: () => {
      driver.close();
      socket.close();
    },
  };
}
