/* test_socket_read: unit tests of reading from a socket.
 *
 * Goal: say for each rule of socket_read.h what it means, on sockets of the kernel's.
 *
 * Rules: what is to be read has been written, or will never be, before each call: no thread, and
 * nothing that waits but for the clock.  The buffer lies right before a page that may not be touched.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS, and setitimer() */

#include "socket_read.h"

#include "checks.h"

#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum { SOON = 10 }; /* seconds: more than anything here takes */

static int peer, ours; /* the two ends of a connection */

static void connect_pair(void)
{
    int ends[2];

    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    peer = ends[0];
    ours = ends[1];
}

static void disconnect_pair(void)
{
    close(peer);
    close(ours);
}

static void say(const char *bytes, size_t len)
{
    MUST(write(peer, bytes, len) == (ssize_t)len);
}

static int reads(struct http_chunks *chunks, double seconds, size_t room, const char *want,
                 size_t len)
{
    char *out = take_before_guard(room);
    ptrdiff_t count = socket_read(ours, seconds, chunks, out, room);
    int as_wanted = count == (ptrdiff_t)len && memcmp(out, want, len) == 0;

    if (!as_wanted)
        fprintf(stderr, "wanted %d bytes, got %d\n", (int)len, (int)count);
    release_guarded(out);
    return as_wanted;
}

static ptrdiff_t answer(int fd, double seconds, struct http_chunks *chunks)
{
    char out[64];

    return socket_read(fd, seconds, chunks, out, sizeof out);
}

static double now(void)
{
    struct timespec time;

    MUST(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void test_what_has_come_is_given_at_once(void)
{
    connect_pair();
    say(BYTES("hel\0lo"));
    CHECK(reads(NULL, SOON, 64, BYTES("hel\0lo")));
    say(BYTES("world"));
    CHECK(reads(NULL, 0, 64, BYTES("world")));
    say(BYTES("again"));
    CHECK(reads(NULL, -1, 64, BYTES("again")));
    say(BYTES("and again"));
    CHECK(reads(NULL, (double)NAN, 64, BYTES("and again")));
    disconnect_pair();
}

static void test_no_more_than_there_is_room_for(void)
{
    connect_pair();
    say(BYTES("abcdef"));
    CHECK(reads(NULL, SOON, 4, BYTES("abcd")));
    CHECK(reads(NULL, SOON, 4, BYTES("ef")));
    disconnect_pair();
}

static void test_nothing_came(void)
{
    double begun;

    connect_pair();
    CHECK(answer(ours, 0, NULL) == -EAGAIN);
    CHECK(answer(ours, -5, NULL) == -EAGAIN);
    begun = now();
    CHECK(answer(ours, 0.05, NULL) == -EAGAIN);
    CHECK(now() - begun >= 0.05);
    CHECK(now() - begun < SOON);
    disconnect_pair();
}

static void test_the_end(void)
{
    connect_pair();
    say(BYTES("bye"));
    MUST(shutdown(peer, SHUT_WR) == 0);
    CHECK(reads(NULL, SOON, 64, BYTES("bye")));
    CHECK(answer(ours, SOON, NULL) == 0);
    CHECK(answer(ours, 1e300, NULL) == 0);
    disconnect_pair();
}

/* A thread that waits is woken so by another one. */
static void test_a_shutdown_is_an_end(void)
{
    connect_pair();
    MUST(shutdown(ours, SHUT_RDWR) == 0);
    CHECK(answer(ours, SOON, NULL) == 0);
    disconnect_pair();
}

static volatile sig_atomic_t rang;

static void ring(int number)
{
    (void)number;
    rang = 1;
}

static void test_a_signal_ends_the_waiting(void)
{
    struct itimerval timer = {{0, 20000}, {0, 20000}}; /* again, as it may come too early */
    struct itimerval none = {{0, 0}, {0, 0}};
    struct sigaction action;
    double begun = now();

    memset(&action, 0, sizeof action);
    action.sa_handler = ring;
    action.sa_flags = SA_RESTART; /* as it may be: poll() is not restarted */
    MUST(sigaction(SIGALRM, &action, NULL) == 0);
    connect_pair();
    MUST(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(answer(ours, 1e9, NULL) == -EAGAIN);
    MUST(setitimer(ITIMER_REAL, &none, NULL) == 0);
    CHECK(rang && now() - begun < SOON);
    disconnect_pair();
}

static void test_failures_are_told(void)
{
    struct linger reset = {1, 0};
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), ends[2];

    CHECK(answer(-1, SOON, NULL) == -EBADF);
    CHECK(answer(1 << 20, SOON, NULL) == -EBADF);
    MUST(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    CHECK(answer(ends[0], SOON, NULL) == -ENOTSOCK);
    close(ends[0]);
    close(ends[1]);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0);
    MUST(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    ours = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(ours, (struct sockaddr *)&address, size) == 0);
    peer = accept(listener, NULL, NULL);
    MUST(setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
    close(peer);
    CHECK(answer(ours, SOON, NULL) == -ECONNRESET);
    close(ours);
    close(listener);
}

static void test_a_body_is_taken_out_of_its_chunks(void)
{
    struct http_chunks c = {0};

    connect_pair();
    say(BYTES("5\r\nhello\r\n6\r\n worl"));
    CHECK(reads(&c, SOON, 64, BYTES("hello worl")) && c.status == HTTP_CHUNKS_MORE);
    say(BYTES("d\r\n0\r\n\r\n"));
    CHECK(reads(&c, SOON, 64, BYTES("d")) && c.status == HTTP_CHUNKS_END && !c.surplus);
    disconnect_pair();
}

static void test_framing_alone_is_nothing_yet(void)
{
    struct http_chunks c = {0};

    connect_pair();
    say(BYTES("2;what a long extension"));
    CHECK(answer(ours, SOON, &c) == -EAGAIN && c.status == HTTP_CHUNKS_MORE);
    CHECK(c.consumed == 23);
    CHECK(answer(ours, 0, &c) == -EAGAIN && c.consumed == 0);
    say(BYTES("\r\n"));
    CHECK(answer(ours, SOON, &c) == -EAGAIN && c.status == HTTP_CHUNKS_MORE);
    say(BYTES("ab\r\n"));
    CHECK(reads(&c, SOON, 64, BYTES("ab")));
    say(BYTES("0\r\nA: b\r\n"));
    CHECK(answer(ours, SOON, &c) == -EAGAIN && c.status == HTTP_CHUNKS_MORE);
    say(BYTES("\r\n"));
    CHECK(answer(ours, SOON, &c) == 0 && c.status == HTTP_CHUNKS_END);
    disconnect_pair();
}

static void test_the_status_tells_an_end_from_a_cut(void)
{
    struct http_chunks c = {0};

    connect_pair();
    say(BYTES("5\r\nhe"));
    MUST(shutdown(peer, SHUT_WR) == 0);
    CHECK(reads(&c, SOON, 64, BYTES("he")));
    CHECK(answer(ours, SOON, &c) == 0 && c.status == HTTP_CHUNKS_MORE);
    disconnect_pair();
}

static void test_what_comes_before_a_mistake_is_given(void)
{
    struct http_chunks c = {0}, other = {0};

    connect_pair();
    say(BYTES("2\r\nab\r\n-5\r\n"));
    CHECK(reads(&c, SOON, 64, BYTES("ab")) && c.status == HTTP_CHUNKS_SIZE);
    say(BYTES("+5\r\nhello"));
    CHECK(answer(ours, SOON, &other) == 0 && other.status == HTTP_CHUNKS_SIZE);
    disconnect_pair();
}

static void test_surplus_is_told(void)
{
    struct http_chunks c = {0};

    connect_pair();
    say(BYTES("1\r\na\r\n0\r\n\r\nHTTP/1.1 200 OK"));
    CHECK(reads(&c, SOON, 64, BYTES("a")) && c.status == HTTP_CHUNKS_END && c.surplus);
    disconnect_pair();
}

int main(void)
{
    make_guarded_memory();
    test_what_has_come_is_given_at_once();
    test_no_more_than_there_is_room_for();
    test_nothing_came();
    test_the_end();
    test_a_shutdown_is_an_end();
    test_a_signal_ends_the_waiting();
    test_failures_are_told();
    test_a_body_is_taken_out_of_its_chunks();
    test_framing_alone_is_nothing_yet();
    test_the_status_tells_an_end_from_a_cut();
    test_what_comes_before_a_mistake_is_given();
    test_surplus_is_told();
    return report_checks();
}
