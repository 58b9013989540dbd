/*
 * An SCTP peer on usrsctp over plain UDP for test/interop/sctp-usrsctp*.interop.test.ts and record-sctp-vectors.mjs:
 * echoes every message on its stream with its PPID and ordering, and answers a stream reset with one of its own. Ends
 * with its standard input.
 *
 * usage: usrsctp-echo client|server <peer's UDP port> [i-data]     prints its own UDP port; "i-data" offers RFC 8260
 *
 * What it reads, a line each, after the first, which lets it begin:
 *   send <stream> <ppid> <bytes> <ordered: 0 or 1> <none|rtx|ttl> <limit>      RFC 3758, RFC 7496
 *   reset <stream>        both halves, RFC 6525
 *   add <outgoing> <incoming>     streams, RFC 6525
 *   shutdown | abort
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <usrsctp.h>

#define SCTP_PORT 5000
#define MAX_MESSAGE (1 << 20)
/* Not in the header of Debian's version, but in its library: usrsctplib/netinet/sctp.h. */
#define SCTP_INTERLEAVING_SUPPORTED 0x00001206
#define SCTP_FRAG_LEVEL_2 2

static int udp;

/*
 * What has come of a message: usrsctp gives a long one out in pieces, and pieces of other streams, and unordered messages of
 * the same stream, come in between (RFC 6458 §8.1.20, its default of level 1).
 */
static struct partial {
  uint8_t *bytes;
  size_t length;
} partial[1 << 16][2];

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static int output(void *addr, void *buffer, size_t length, uint8_t tos, uint8_t set_df) {
  (void)addr;
  (void)tos;
  (void)set_df;
  send(udp, buffer, length, 0);
  return 0;
}

static void answer_reset(struct socket *sock, const struct sctp_stream_reset_event *event) {
  if (!(event->strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN)) return;
  size_t count = (event->strreset_length - sizeof(*event)) / sizeof(uint16_t);
  size_t size = sizeof(struct sctp_reset_streams) + count * sizeof(uint16_t);
  struct sctp_reset_streams *request = calloc(1, size);
  request->srs_flags = SCTP_STREAM_RESET_OUTGOING;
  request->srs_number_streams = count;
  memcpy(request->srs_stream_list, event->strreset_stream_list, count * sizeof(uint16_t));
  if (usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_RESET_STREAMS, request, size) < 0) perror("SCTP_RESET_STREAMS");
  free(request);
}

static int receive(struct socket *sock, union sctp_sockstore addr, void *data, size_t length, struct sctp_rcvinfo info,
                   int flags, void *user) {
  (void)addr;
  (void)user;
  if (data == NULL) {
    fprintf(stderr, "closed\n");
    return 1;
  }
  if (flags & MSG_NOTIFICATION) {
    const union sctp_notification *n = data;
    if (n->sn_header.sn_type == SCTP_STREAM_RESET_EVENT) answer_reset(sock, &n->sn_strreset_event);
    free(data);
    return 1;
  }
  struct partial *message = &partial[info.rcv_sid][info.rcv_flags & SCTP_UNORDERED ? 1 : 0];
  if (message->length + length > MAX_MESSAGE) fail("message too long");
  message->bytes = realloc(message->bytes, message->length + length);
  if (message->bytes == NULL) fail("realloc");
  memcpy(message->bytes + message->length, data, length);
  message->length += length;
  free(data);
  if (!(flags & MSG_EOR)) return 1;
  struct sctp_sendv_spa spa = {0};
  spa.sendv_flags = SCTP_SEND_SNDINFO_VALID;
  spa.sendv_sndinfo.snd_sid = info.rcv_sid;
  spa.sendv_sndinfo.snd_ppid = info.rcv_ppid;
  spa.sendv_sndinfo.snd_flags = SCTP_EOR | (info.rcv_flags & SCTP_UNORDERED ? SCTP_UNORDERED : 0);
  if (usrsctp_sendv(sock, message->bytes, message->length, NULL, 0, &spa, sizeof(spa), SCTP_SENDV_SPA, 0) < 0) {
    perror("sendv");
  }
  free(message->bytes);
  *message = (struct partial){NULL, 0};
  return 1;
}

/* Pieces of messages of several streams are given out in any mixture, which offering I-DATA requires (RFC 8260 §4.3.1). */
static void offer_interleaving(struct socket *sock) {
  int level = SCTP_FRAG_LEVEL_2;
  struct sctp_assoc_value value = {SCTP_FUTURE_ASSOC, 1};
  if (usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_FRAGMENT_INTERLEAVE, &level, sizeof(level)) < 0) fail("level 2");
  if (usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_INTERLEAVING_SUPPORTED, &value, sizeof(value)) < 0) fail("I-DATA");
}

static void send_pattern(struct socket *sock, const char *line) {
  unsigned stream, ppid, length, ordered, limit;
  char policy[8];
  if (sscanf(line, "send %u %u %u %u %7s %u", &stream, &ppid, &length, &ordered, policy, &limit) != 6) fail(line);
  uint8_t *bytes = malloc(length);
  for (unsigned i = 0; i < length; i++) bytes[i] = (uint8_t)(i * 31 + ppid);
  struct sctp_sendv_spa spa = {0};
  spa.sendv_flags = SCTP_SEND_SNDINFO_VALID | SCTP_SEND_PRINFO_VALID;
  spa.sendv_sndinfo.snd_sid = stream;
  spa.sendv_sndinfo.snd_ppid = htonl(ppid);
  spa.sendv_sndinfo.snd_flags = SCTP_EOR | (ordered ? 0 : SCTP_UNORDERED);
  spa.sendv_prinfo.pr_policy = *policy == 'r' ? SCTP_PR_SCTP_RTX : *policy == 't' ? SCTP_PR_SCTP_TTL : SCTP_PR_SCTP_NONE;
  spa.sendv_prinfo.pr_value = limit;
  if (usrsctp_sendv(sock, bytes, length, NULL, 0, &spa, sizeof(spa), SCTP_SENDV_SPA, 0) < 0) perror("send");
  free(bytes);
}

static void obey(struct socket *sock, const char *line) {
  if (strncmp(line, "send ", 5) == 0) {
    send_pattern(sock, line);
  } else if (strncmp(line, "reset ", 6) == 0) {
    uint8_t buffer[sizeof(struct sctp_reset_streams) + sizeof(uint16_t)] __attribute__((aligned(8))) = {0};
    struct sctp_reset_streams *request = (struct sctp_reset_streams *)buffer;
    request->srs_flags = SCTP_STREAM_RESET_OUTGOING | SCTP_STREAM_RESET_INCOMING;
    request->srs_number_streams = 1;
    request->srs_stream_list[0] = atoi(line + 6);
    if (usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_RESET_STREAMS, request, sizeof(buffer)) < 0) perror("reset");
  } else if (strncmp(line, "add ", 4) == 0) {
    unsigned outgoing, incoming;
    if (sscanf(line, "add %u %u", &outgoing, &incoming) != 2) fail(line);
    struct sctp_add_streams request = {.sas_instrms = incoming, .sas_outstrms = outgoing};
    if (usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_ADD_STREAMS, &request, sizeof(request)) < 0) perror("add");
  } else if (strncmp(line, "shutdown", 8) == 0) {
    if (usrsctp_shutdown(sock, SHUT_WR) < 0) perror("shutdown");
  } else if (strncmp(line, "abort", 5) == 0) {
    struct sctp_sndinfo info = {.snd_flags = SCTP_ABORT};
    usrsctp_sendv(sock, "bye", 3, NULL, 0, &info, sizeof(info), SCTP_SENDV_SNDINFO, 0);
  } else {
    fail(line);
  }
}

static void configure(struct socket *sock) {
  int on = 1, buffer = 64 * 1024 * 1024;
  struct sctp_assoc_value value = {SCTP_ALL_ASSOC, 1};
  struct sctp_initmsg init = {.sinit_num_ostreams = 65535, .sinit_max_instreams = 65535};
  struct sctp_event event = {.se_assoc_id = SCTP_ALL_ASSOC, .se_on = 1, .se_type = SCTP_STREAM_RESET_EVENT};
  usrsctp_setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
  buffer = 4 * 1024 * 1024;
  usrsctp_setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
  usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on));
  usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on));
  usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_EXPLICIT_EOR, &on, sizeof(on));
  /* Its default of 60 s would let a few unlucky losses in a row take minutes. */
  struct sctp_rtoinfo rto = {.srto_initial = 500, .srto_max = 2000, .srto_min = 200};
  usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof(rto));
  usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init));
  usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof(event));
  value.assoc_value = SCTP_ENABLE_RESET_STREAM_REQ | SCTP_ENABLE_CHANGE_ASSOC_REQ;
  if (usrsctp_setsockopt(sock, IPPROTO_SCTP, SCTP_ENABLE_STREAM_RESET, &value, sizeof(value)) < 0) perror("reset");
}

static void *reader(void *unused) {
  static uint8_t buffer[65536];
  (void)unused;
  for (;;) {
    ssize_t length = recv(udp, buffer, sizeof(buffer), 0);
    if (length > 0) usrsctp_conninput(&udp, buffer, length, 0);
  }
  return NULL;
}

/* Where there is an association: the socket itself, or what the listener accepted last. */
static struct socket *volatile connected;

static void *acceptor(void *listener) {
  struct socket *sock;
  while ((sock = usrsctp_accept(listener, NULL, NULL)) != NULL) connected = sock;
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) fail("usage");
  int client = strcmp(argv[1], "client") == 0;
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in peer = local;
  socklen_t size = sizeof(local);
  peer.sin_port = htons(atoi(argv[2]));
  udp = socket(AF_INET, SOCK_DGRAM, 0);
  int buffer = 4 * 1024 * 1024;
  setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
  if (bind(udp, (struct sockaddr *)&local, sizeof(local)) < 0) fail("bind");
  if (connect(udp, (struct sockaddr *)&peer, sizeof(peer)) < 0) fail("connect");
  getsockname(udp, (struct sockaddr *)&local, &size);
  usrsctp_init(0, output, NULL);
  usrsctp_sysctl_set_sctp_ecn_enable(0);
  /* Its own timeouts of a second and more would only make the lossy tests long. */
  usrsctp_sysctl_set_sctp_rto_min_default(50);
  usrsctp_sysctl_set_sctp_rto_initial_default(200);
  usrsctp_sysctl_set_sctp_rto_max_default(1000);
  usrsctp_register_address(&udp);
  struct sockaddr_conn address = {.sconn_family = AF_CONN, .sconn_port = htons(SCTP_PORT), .sconn_addr = &udp};
  struct socket *sock = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, receive, NULL, 0, NULL);
  if (sock == NULL) fail("socket");
  configure(sock);
  if (argc == 4) offer_interleaving(sock);
  if (usrsctp_bind(sock, (struct sockaddr *)&address, sizeof(address)) < 0) fail("bind");
  pthread_t thread;
  pthread_create(&thread, NULL, reader, NULL);
  if (!client) {
    if (usrsctp_listen(sock, 1) < 0) fail("listen");
    pthread_create(&thread, NULL, acceptor, sock);
  }
  printf("%d\n", ntohs(local.sin_port));
  fflush(stdout);
  char line[64];
  if (fgets(line, sizeof(line), stdin) == NULL) return 0; /* a line: go */
  if (client) {
    if (usrsctp_connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) fail("connect");
    connected = sock;
  }
  while (fgets(line, sizeof(line), stdin) != NULL) {
    while (connected == NULL) usleep(1000);
    obey(connected, line);
  }
  return 0;
}
