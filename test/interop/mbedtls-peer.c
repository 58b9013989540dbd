/*
 * One end of a DTLS 1.2 connection on Mbed TLS, for dtls-mbedtls.interop.test.ts. It says what was agreed in one line, then echoes
 * (server), or sends each line of standard input and prints what comes back (client).
 *
 *   mbedtls-peer server CERT KEY SUITE | mbedtls-peer client PORT CERT KEY SUITE CA
 *
 * SUITE is IANA's name with '-' as Mbed TLS writes it. The server prints its port; it asks for a certificate and takes any.
 */
#include <arpa/inet.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/timing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void check(int result, const char *what) {
  if (result < 0) {
    printf("failed: %s: -0x%04x\n", what, (unsigned)-result);
    exit(1);
  }
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IONBF, 0);
  int server = argc == 5 && strcmp(argv[1], "server") == 0;
  if (!server && !(argc == 7 && strcmp(argv[1], "client") == 0)) return 2;
  const char *cert = argv[server ? 2 : 3], *key = argv[server ? 3 : 4], *suite = argv[server ? 4 : 5];

  mbedtls_entropy_context entropy;
  mbedtls_ctr_drbg_context random;
  mbedtls_entropy_init(&entropy);
  mbedtls_ctr_drbg_init(&random);
  check(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0), "seed");
  mbedtls_x509_crt own, ca;
  mbedtls_pk_context pk;
  mbedtls_x509_crt_init(&own);
  mbedtls_x509_crt_init(&ca);
  mbedtls_pk_init(&pk);
  check(mbedtls_x509_crt_parse_file(&own, cert), "certificate");
  check(mbedtls_pk_parse_keyfile(&pk, key, NULL), "key");

  mbedtls_ssl_config config;
  mbedtls_ssl_config_init(&config);
  check(mbedtls_ssl_config_defaults(&config, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                    MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT), "defaults");
  int suites[] = {mbedtls_ssl_get_ciphersuite_id(suite), 0};
  if (suites[0] == 0) check(-1, suite);
  mbedtls_ssl_conf_ciphersuites(&config, suites);
  mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
  check(mbedtls_ssl_conf_own_cert(&config, &own, &pk), "own certificate");
  if (server) {
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_OPTIONAL);
  } else {
    check(mbedtls_x509_crt_parse_file(&ca, argv[6]), "ca");
    mbedtls_ssl_conf_ca_chain(&config, &ca, NULL);
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
  }
  mbedtls_ssl_cookie_ctx cookies;
  mbedtls_ssl_cookie_init(&cookies);
  check(mbedtls_ssl_cookie_setup(&cookies, mbedtls_ctr_drbg_random, &random), "cookies");
  mbedtls_ssl_conf_dtls_cookies(&config, mbedtls_ssl_cookie_write, mbedtls_ssl_cookie_check, &cookies);

  mbedtls_ssl_context ssl;
  mbedtls_timing_delay_context timer;
  mbedtls_ssl_init(&ssl);
  check(mbedtls_ssl_setup(&ssl, &config), "setup");
  mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);

  mbedtls_net_context listener, net;
  unsigned char ip[16];
  size_t ip_bytes = 0;
  mbedtls_net_init(&listener);
  mbedtls_net_init(&net);
  if (server) {
    struct sockaddr_in local;
    socklen_t length = sizeof local;
    check(mbedtls_net_bind(&listener, "127.0.0.1", "0", MBEDTLS_NET_PROTO_UDP), "bind");
    check(getsockname(listener.fd, (struct sockaddr *)&local, &length), "getsockname");
    printf("port %d\n", ntohs(local.sin_port));
    check(mbedtls_net_accept(&listener, &net, ip, sizeof ip, &ip_bytes), "accept");
  } else {
    check(mbedtls_net_connect(&net, "127.0.0.1", argv[2], MBEDTLS_NET_PROTO_UDP), "connect");
    check(mbedtls_ssl_set_hostname(&ssl, "localhost"), "host name");
  }

  int result;
  do { /* a HelloVerifyRequest ends the first attempt of a server; the socket stays, as the next hello may be in it already */
    if (server) {
      check(mbedtls_ssl_session_reset(&ssl), "reset");
      check(mbedtls_ssl_set_client_transport_id(&ssl, ip, ip_bytes), "transport id");
    }
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, mbedtls_net_recv_timeout);
    do {
      result = mbedtls_ssl_handshake(&ssl);
    } while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE);
  } while (server && result == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED);
  check(result, "handshake");
  printf("connected %s %s peer-certificate=%d\n", mbedtls_ssl_get_version(&ssl), mbedtls_ssl_get_ciphersuite(&ssl),
         mbedtls_ssl_get_peer_cert(&ssl) != NULL);

  unsigned char bytes[16384];
  for (;;) {
    if (!server) {
      if (fgets((char *)bytes, sizeof bytes, stdin) == NULL) break;
      check(mbedtls_ssl_write(&ssl, bytes, strlen((char *)bytes)), "write");
    }
    do {
      result = mbedtls_ssl_read(&ssl, bytes, sizeof bytes);
    } while (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE || result == MBEDTLS_ERR_SSL_TIMEOUT);
    if (result == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || result == 0) break;
    check(result, "read");
    if (server) check(mbedtls_ssl_write(&ssl, bytes, result), "write");
    else printf("data: %.*s", result, bytes);
  }
  mbedtls_ssl_close_notify(&ssl);
  printf("closed\n");
  return 0;
}
