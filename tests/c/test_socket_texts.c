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

static int peer, ours; /* the two ends of a connection */

static void say(const char *bytes, size_t len)
{
    MUST(write(peer, bytes, len) == (ssize_t)len);
}

static struct alike_events events_of(void)
{
    struct alike_events alike = {HEAD, sizeof HEAD - 1, TAIL, sizeof TAIL - 1, NULL, 0, 9, 9, 9};

    return alike;
}

/* Whether a call gives `count`, and what was held and received, and then these texts. */
static int gives(struct http_chunks *chunks, struct alike_events *alike, const char *held,
                 size_t room, ptrdiff_t count, const char *body, const char *texts)
{
    size_t held_len = strlen(held), len = strlen(body), texts_len = strlen(texts);
    char *out = take_before_guard(2 * room);
    ptrdiff_t found = socket_texts(ours, 0, chunks, alike, held, held_len, out, room);
    int as_wanted = found == count && alike->written == texts_len;

    if (as_wanted && count > 0)
        as_wanted = memcmp(out, body, len) == 0 && memcmp(out + len, texts, texts_len) == 0;
    if (!as_wanted)
        fprintf(stderr, "got %d, texts of %d\n", (int)found, (int)alike->written);
    release_guarded(out);
    return as_wanted;
}

static void test_texts_are_right_behind_what_came(void)
{
    struct alike_events alike = events_of();

    say(BYTES(HEAD "Why" TAIL HEAD " not" TAIL));
    CHECK(gives(NULL, &alike, "", 64, 51, HEAD "Why" TAIL HEAD " not" TAIL,
                "[{\"delta\":\"Why\"},{\"delta\":\" not\"}]"));
    CHECK(alike.count == 2 && alike.consumed == 51 && alike.written == 34);
}

static void test_what_was_held_comes_first(void)
{
    struct alike_events alike = events_of();

    say(BYTES("y" TAIL "da"));
    CHECK(gives(NULL, &alike, HEAD "Wh", 32, 7, HEAD "Why" TAIL "da", "[{\"delta\":\"Why\"}]"));
    CHECK(alike.count == 1 && alike.consumed == 25);
}

static void test_no_more_is_received_than_there_is_room_for(void)
{
    struct alike_events alike = events_of();

    say(BYTES(HEAD "Why" TAIL));
    CHECK(gives(NULL, &alike, "da", 4, 2, "dada", ""));
    CHECK(gives(NULL, &alike, "da", 64, 23, "da" "ta: {\"content\":\"Why" TAIL,
                "[{\"delta\":\"Why\"}]"));
}

static void test_chunks_are_taken_apart_first(void)
{
    struct alike_events alike = events_of();
    struct http_chunks chunks = {0};

    say(BYTES("19\r\n" HEAD "Why" TAIL "\r\n0\r\n\r\n"));
    CHECK(gives(&chunks, &alike, "", 64, 25, HEAD "Why" TAIL, "[{\"delta\":\"Why\"}]"));
    CHECK(chunks.status == HTTP_CHUNKS_END);
}

static void test_nothing_is_found_in_what_is_not_alike(void)
{
    struct alike_events alike = events_of();

    say(BYTES("data: [DONE]\n\n"));
    CHECK(gives(NULL, &alike, "", 64, 14, "data: [DONE]\n\n", ""));
    CHECK(alike.count == 0 && alike.consumed == 0);
}

static void test_nothing_came(void)
{
    struct alike_events alike = events_of();

    CHECK(gives(NULL, &alike, HEAD "a" TAIL, 64, -EAGAIN, "", ""));
    CHECK(alike.count == 0 && alike.consumed == 0);
    MUST(shutdown(peer, SHUT_WR) == 0);
    alike = events_of();
    CHECK(gives(NULL, &alike, HEAD "a" TAIL, 64, 0, "", "") && alike.count == 0);
}

int main(void)
{
    int ends[2];

    make_guarded_memory();
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    peer = ends[0];
    ours = ends[1];
    test_texts_are_right_behind_what_came();
    test_what_was_held_comes_first();
    test_no_more_is_received_than_there_is_room_for();
    test_chunks_are_taken_apart_first();
    test_nothing_is_found_in_what_is_not_alike();
    test_nothing_came();
    return report_checks();
}
