/* test_socket_texts: unit tests of taking texts out of what comes, in the call that receives it.
 *
 * Goal: say for each rule of socket_texts.h what it means; what receiving, chunks and events are by
 * themselves is tested where they are.
 *
 * Rules: what is to be read has been written before each call; the buffer lies right before a page
 * that may not be touched.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include "socket_texts.h"

#include "checks.h"

#include <errno.h>
#include <sys/socket.h>

#define HEAD "data: {\"content\":\""
#define TAIL "\"}\n\n"
#define WHY "[{\"delta\":\"Why\"}]"

static int peer, ours; /* the two ends of a connection */
static struct alike_events alike = {HEAD, sizeof HEAD - 1, TAIL, sizeof TAIL - 1, NULL, 0, 0, 0, 0};

static void say(int fd, const char *bytes, size_t len)
{
    MUST(write(fd, bytes, len) == (ssize_t)len);
}

static struct socket_texts way_of(int fd, struct http_chunks *chunks)
{
    struct socket_texts way = {0};

    way.fd = fd;
    way.chunks = chunks;
    way.alike = &alike;
    return way;
}

/* Whether that came and these texts were found, none if it was something else. */
static int has(const struct socket_texts *way, size_t written, ptrdiff_t count, const char *body,
               const char *texts)
{
    size_t len = strlen(texts);

    if (way->count != count || written != len) {
        fprintf(stderr, "got %d, texts of %d\n", (int)way->count, (int)written);
        return 0;
    }
    if (count > 0 && memcmp(way->block, body, (size_t)count) != 0)
        return 0;
    return len == 0 || memcmp(way->texts, texts, len) == 0;
}

static int gives(struct http_chunks *chunks, size_t room, ptrdiff_t count, const char *body,
                 const char *texts)
{
    struct socket_texts way = way_of(ours, chunks);
    char *block = take_before_guard(2 * room);
    size_t written = socket_texts(&way, 0, block, room);
    int as_wanted = has(&way, written, count, body, texts);

    release_guarded(block);
    return as_wanted;
}

static void test_texts_of_whole_events_that_are_alike(void)
{
    say(peer, BYTES(HEAD "Why" TAIL HEAD " not" TAIL));
    CHECK(gives(NULL, 64, 51, HEAD "Why" TAIL HEAD " not" TAIL,
                "[{\"delta\":\"Why\"},{\"delta\":\" not\"}]"));
    CHECK(alike.count == 2);
    say(peer, BYTES(HEAD TAIL));
    CHECK(gives(NULL, 64, 22, HEAD TAIL, "[]"));
    CHECK(alike.count == 1);
}

static void test_none_if_anything_else_is_there(void)
{
    say(peer, BYTES(HEAD "Why" TAIL "da"));
    CHECK(gives(NULL, 64, 27, HEAD "Why" TAIL "da", ""));
    say(peer, BYTES("\n" HEAD "Why" TAIL));
    CHECK(gives(NULL, 64, 26, "\n" HEAD "Why" TAIL, ""));
    say(peer, BYTES("data: [DONE]\n\n"));
    CHECK(gives(NULL, 64, 14, "data: [DONE]\n\n", ""));
}

static void test_no_more_is_received_than_there_is_room_for(void)
{
    say(peer, BYTES(HEAD "Why" TAIL));
    CHECK(gives(NULL, 4, 4, "data", ""));
    CHECK(gives(NULL, 64, 21, ": {\"content\":\"Why" TAIL, ""));
}

static void test_chunks_are_taken_apart_first(void)
{
    struct http_chunks chunks = {0};

    say(peer, BYTES("19\r\n" HEAD "Why" TAIL "\r\n"));
    CHECK(gives(&chunks, 64, 25, HEAD "Why" TAIL, WHY));
    say(peer, BYTES("19\r"));
    CHECK(gives(&chunks, 64, -EAGAIN, "", ""));
    say(peer, BYTES("\n" HEAD "Why" TAIL "\r\n"));
    CHECK(gives(&chunks, 64, 25, HEAD "Why" TAIL, WHY));
}

static void test_none_of_the_last_bytes_of_a_body(void)
{
    struct http_chunks ended = {0}, wrong = {0};

    say(peer, BYTES("19\r\n" HEAD "Why" TAIL "\r\n0\r\n\r\n"));
    CHECK(gives(&ended, 64, 25, HEAD "Why" TAIL, "") && ended.status == HTTP_CHUNKS_END);
    say(peer, BYTES("19\r\n" HEAD "Why" TAIL "\r\nx\r\n"));
    CHECK(gives(&wrong, 64, 25, HEAD "Why" TAIL, "") && wrong.status == HTTP_CHUNKS_SIZE);
}

static void test_the_same_of_what_was_received_otherwise(void)
{
    struct http_chunks chunks = {0};
    struct socket_texts framed = way_of(-1, &chunks), bare = way_of(-1, NULL);
    char *block = take_before_guard(2 * 31);
    size_t written = received_texts(&framed, BYTES("19\r\n" HEAD "Why" TAIL "\r\n"), block);

    CHECK(has(&framed, written, 25, HEAD "Why" TAIL, WHY));
    release_guarded(block);
    block = take_before_guard(2 * 25);
    written = received_texts(&bare, BYTES(HEAD "Why" TAIL), block);
    CHECK(has(&bare, written, 25, HEAD "Why" TAIL, WHY));
    CHECK(bare.bytes == 25 && bare.events == 1);
    written = received_texts(&bare, BYTES("data: [DONE]"), block);
    CHECK(has(&bare, written, 12, "data: [DONE]", ""));
    CHECK(bare.bytes == 25 && bare.events == 1);
    release_guarded(block);
}

#ifdef __linux__

#include <sys/epoll.h>

enum { ALL = 5, ROOM = 1 << 16 };

static int peers[ALL], ends[ALL], epoll;

static void connect_all(void)
{
    int i, pair[2];

    epoll = epoll_create1(0);
    MUST(epoll >= 0);
    for (i = 0; i < ALL; i++) {
        struct epoll_event event = {0};

        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        peers[i] = pair[0];
        ends[i] = event.data.fd = pair[1];
        event.events = EPOLLIN;
        MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event) == 0);
    }
}

static void disconnect_all(void)
{
    int i;

    for (i = 0; i < ALL; i++) {
        close(peers[i]);
        close(ends[i]);
    }
    close(epoll);
}

/* Whether that lies ahead, and as what; then it is taken. */
static int has_ahead(struct socket_texts *way, ptrdiff_t count, const char *body, const char *texts)
{
    ptrdiff_t ahead = way->ahead;

    way->ahead = 0;
    return ahead != 0 && has(way, ahead > 0 ? (size_t)ahead : 0, count, body, texts);
}

static void test_all_that_are_ready_are_read(void)
{
    struct socket_texts first, second, third, *ways[64] = {0};
    char *room = take_before_guard(ROOM);
    int ready[ALL] = {0};
    struct sockets_texts all = {-1, ways, 64, NULL, ROOM, ready, ALL};

    CHECK(sockets_texts(&all, 0) == -EBADF);
    connect_all();
    MUST(ends[ALL - 1] < 64);
    all.epoll = epoll;
    all.room = room;
    first = way_of(ends[0], NULL);
    second = way_of(ends[1], NULL);
    third = way_of(ends[2], NULL);
    ways[ends[0]] = &first;
    ways[ends[1]] = &second;
    ways[ends[2]] = &third;
    say(peers[0], BYTES(HEAD "Why" TAIL));
    say(peers[1], BYTES("data: [DONE]\n\n"));
    say(peers[3], BYTES("nobody reads this"));
    CHECK(sockets_texts(&all, 5) == 3);
    CHECK(ready[0] == ends[0] && ready[1] == ends[1] && ready[2] == ends[3]);
    CHECK(first.block == room && second.block == first.texts + first.ahead && third.ahead == 0);
    CHECK(second.ahead == -1 && has_ahead(&first, 25, HEAD "Why" TAIL, WHY));

    /* What was not taken yet is left as it is; what has no place is told of again. */
    say(peers[0], BYTES(HEAD TAIL));
    say(peers[1], BYTES(HEAD TAIL));
    all.ways_len = (size_t)ends[1] + 1;
    CHECK(sockets_texts(&all, 0) == 3);
    CHECK(has_ahead(&first, 22, HEAD TAIL, "[]"));
    CHECK(second.ahead == -1 && second.count == 14);

    /* An end, and no more than was asked for. */
    second.ahead = 0;
    all.ways_len = 64;
    close(peers[2]);
    peers[2] = dup(peers[3]);
    CHECK(sockets_texts(&all, 0) == 3);
    CHECK(has_ahead(&second, 22, HEAD TAIL, "[]"));
    CHECK(has_ahead(&third, 0, "", ""));
    all.most = 1;
    CHECK(sockets_texts(&all, 0) == 1);
    disconnect_all();
    release_guarded(room);
}

static void test_there_is_room_for_as_many_as_can_be(void)
{
    static char much[3 * ROOM];
    struct socket_texts of[ALL], *ways[64] = {0};
    char *room = take_before_guard(ROOM);
    int ready[ALL], i, read = 0;
    struct sockets_texts all = {-1, ways, 64, NULL, ROOM, ready, ALL};

    connect_all();
    all.epoll = epoll;
    all.room = room;
    for (i = 0; i < ALL; i++) {
        of[i] = way_of(ends[i], NULL);
        ways[ends[i]] = &of[i];
        MUST(send(peers[i], much, sizeof much, MSG_DONTWAIT) > ROOM / 2);
    }
    CHECK(sockets_texts(&all, 0) == ALL);
    for (i = 0; i < ALL; i++) {
        read += of[i].ahead != 0;
        CHECK(of[i].ahead == 0 || (of[i].count >= 4096 && of[i].count <= 1 << 16));
        of[i].ahead = 0;
    }
    CHECK(read == ALL);
    all.size = 4 * 4096;
    CHECK(sockets_texts(&all, 0) == ALL);
    for (i = 0, read = 0; i < ALL; i++)
        read += of[i].ahead != 0;
    CHECK(read == 3); /* the others are told of: whoever reads them has room of his own */
    disconnect_all();
    release_guarded(room);
}

#endif

static void test_nothing_came(void)
{
    CHECK(gives(NULL, 64, -EAGAIN, "", ""));
    MUST(shutdown(peer, SHUT_WR) == 0);
    CHECK(gives(NULL, 64, 0, "", ""));
}

int main(void)
{
    int pair[2];

    make_guarded_memory();
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    peer = pair[0];
    ours = pair[1];
    test_texts_of_whole_events_that_are_alike();
    test_none_if_anything_else_is_there();
    test_no_more_is_received_than_there_is_room_for();
    test_chunks_are_taken_apart_first();
    test_none_of_the_last_bytes_of_a_body();
    test_the_same_of_what_was_received_otherwise();
#ifdef __linux__
    test_all_that_are_ready_are_read();
    test_there_is_room_for_as_many_as_can_be();
#endif
    test_nothing_came();
    return report_checks();
}
