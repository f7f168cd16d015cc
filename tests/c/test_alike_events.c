/* test_alike_events: unit tests of what takes the texts out of events that are alike.
 *
 * Goal: each rule of the manual, then every short stream of what events are made of, then texts of
 * every length with what is special at every place.
 *
 * Rules: every buffer lies right before a page that may not be touched, and once more right after
 * one.  The twin lives in fuzz_alike_events.c, which is included.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include "fuzz_alike_events.c"

#include "checks.h"

#define HEAD "data: {\"delta\":\""
#define TAIL "\"}\n\n"
#define FILLED "\",\"pad\":\""
#define EVENT(text) HEAD text TAIL

static const struct parts PLAIN = {{BYTES(HEAD)}, {BYTES(TAIL)}, {"", 0}};
static const struct parts PADDED = {{BYTES(HEAD)}, {BYTES(FILLED)}, {BYTES(TAIL)}};

static int says(const char *stream, size_t len, const struct parts *parts, size_t consumed,
                const char *want)
{
    struct alike_events alike = {parts->head.bytes, parts->head.len,   parts->tail.bytes,
                                 parts->tail.len,   parts->end.bytes, parts->end.len, 0, 0, 0};
    char out[512];
    size_t written = alike_texts(&alike, stream, len, out), i;
    int alike_everywhere = 1;

    MUST(len <= sizeof out);
    for (i = 0; i < LEN(MEMORIES); i++)
        alike_everywhere &= alike_as_told(stream, len, parts, &MEMORIES[i]);
    return alike_everywhere && alike.consumed == consumed && written == strlen(want) &&
           memcmp(out, want, written) == 0;
}

#define SAYS(stream, consumed, want) CHECK(says(BYTES(stream), &PLAIN, consumed, want))
#define SAYS_PADDED(stream, consumed, want) CHECK(says(BYTES(stream), &PADDED, consumed, want))

static const size_t ONE = sizeof EVENT("") - 1;

static void test_texts_of_events_that_are_alike(void)
{
    SAYS(EVENT("a"), ONE + 1, "[{\"delta\":\"a\"}]");
    SAYS(EVENT("a") EVENT("bc"), 2 * ONE + 3, "[{\"delta\":\"a\"},{\"delta\":\"bc\"}]");
    SAYS(EVENT("\xE2\x82\xAC"), ONE + 3, "[{\"delta\":\"\xE2\x82\xAC\"}]");
}

static void test_empty_texts_are_left_out(void)
{
    SAYS(EVENT(""), ONE, "[]");
    SAYS(EVENT("") EVENT("a") EVENT(""), 3 * ONE + 1, "[{\"delta\":\"a\"}]");
}

static void test_it_stops_at_what_is_not_alike(void)
{
    SAYS("", 0, "");
    SAYS("data: [DONE]\n\n", 0, "");
    SAYS(EVENT("a") "data: [DONE]\n\n" EVENT("b"), ONE + 1, "[{\"delta\":\"a\"}]");
    SAYS(EVENT("a") "\n" EVENT("b"), ONE + 1, "[{\"delta\":\"a\"}]");
    SAYS(EVENT("a") HEAD "b\"} \n\n", ONE + 1, "[{\"delta\":\"a\"}]");
}

static void test_it_stops_at_what_is_not_whole(void)
{
    static const char STREAM[] = EVENT("a") EVENT("b");
    size_t len;

    for (len = 0; len < ONE + 1; len++)
        CHECK(says(STREAM, len, &PLAIN, 0, ""));
    for (; len < 2 * ONE + 2; len++)
        CHECK(says(STREAM, len, &PLAIN, ONE + 1, "[{\"delta\":\"a\"}]"));
}

/* A text cannot close its string and go on. */
static void test_a_quotation_mark_ends_the_text(void)
{
    SAYS(EVENT("a\",\"x\":\"b"), 0, "");
    SAYS(EVENT("\""), 0, "");
    SAYS(EVENT("a\\\",\\\"x\\\":\\\"b"), ONE + 13, "[{\"delta\":\"a\\\",\\\"x\\\":\\\"b\"}]");
}

static void test_an_escape_takes_one_character_with_it(void)
{
    SAYS(EVENT("\\n\\\\"), ONE + 4, "[{\"delta\":\"\\n\\\\\"}]");
    SAYS(EVENT("\\\\\""), 0, "");
    SAYS(EVENT("\\"), 0, ""); /* its quotation mark is no end */
    SAYS(EVENT("\\ud800\\x"), ONE + 8, "[{\"delta\":\"\\ud800\\x\"}]"); /* not ours to judge */
}

static void test_control_characters_are_not_alike(void)
{
    SAYS(EVENT("a\nb"), 0, "");
    SAYS(EVENT("a\\\nb"), 0, "");
    SAYS(EVENT("a\0b"), 0, "");
    SAYS(EVENT("\r"), 0, "");
    SAYS(EVENT("\x1F"), 0, "");
    SAYS(EVENT("\x7F\x80"), ONE + 2, "[{\"delta\":\"\x7F\x80\"}]");
}

static void test_a_filler_says_nothing(void)
{
    SAYS_PADDED(HEAD "a" FILLED "xY0z9AZ" TAIL, ONE + 17, "[{\"delta\":\"a\"}]");
    SAYS_PADDED(HEAD "a" FILLED TAIL HEAD "b" FILLED "1" TAIL, 2 * ONE + 21,
                "[{\"delta\":\"a\"},{\"delta\":\"b\"}]");
    SAYS_PADDED(HEAD "a" FILLED "x y" TAIL, 0, "");
    SAYS_PADDED(HEAD "a" FILLED "x\\n" TAIL, 0, "");
    SAYS_PADDED(HEAD "a" FILLED "x\",\"y\":\"" TAIL, 0, "");
    SAYS_PADDED(EVENT("a"), 0, "");
}

/* Else there might be no room for what is written. */
static void test_parts_that_are_too_short_are_none(void)
{
    static const struct parts SHORT = {{BYTES("data: \"")}, {BYTES("\"\n\n\n\n\n")}, {"", 0}};
    static const struct parts LEAST = {{BYTES("data: \"")}, {BYTES("\"\n\n\n\n\n\n")}, {"", 0}};
    static const struct parts NONE = {{"", 0}, {"", 0}, {"", 0}};

    CHECK(says(BYTES("data: \"a\"\n\n\n\n\n"), &SHORT, 0, ""));
    CHECK(says(BYTES("data: \"a\"\n\n\n\n\n\n"), &LEAST, 15, "[{\"delta\":\"a\"}]"));
    CHECK(says(BYTES("aaaaaaaaaaaaaaaaaaaaa"), &NONE, 0, ""));
}

/* All sequences of up to six of these. */
static const struct part PARTS[] = {{BYTES(HEAD)}, {BYTES(TAIL)},  {BYTES(FILLED)}, {BYTES("a")},
                                    {BYTES("\\")}, {BYTES("\"")}, {BYTES("\n")},   {BYTES("\xFF")}};

static int every_continuation_is_alike(char *stream, size_t len, int more)
{
    int alike = alike_as_told(stream, len, len % 2 ? &PLAIN : &PADDED, &MEMORIES[len / 2 % 2]);
    size_t i;

    for (i = 0; more > 0 && i < LEN(PARTS); i++) {
        memcpy(stream + len, PARTS[i].bytes, PARTS[i].len);
        alike &= every_continuation_is_alike(stream, len + PARTS[i].len, more - 1);
    }
    return alike;
}

static void test_every_short_stream(void)
{
    char stream[6 * sizeof HEAD];

    CHECK(every_continuation_is_alike(stream, 0, 6));
}

/* Eight bytes are taken at a time: what is special may stand anywhere among them. */
static void test_every_byte_at_every_place(void)
{
    char stream[128];
    size_t len, at;
    int byte, alike = 1;

    for (len = 0; len <= 20; len++)
        for (at = 0; at < len; at++)
            for (byte = 0; byte < 256; byte++) {
                size_t size = sizeof HEAD - 1;

                memcpy(stream, HEAD, size);
                memset(stream + size, 'a', len);
                stream[size + at] = (char)byte;
                memcpy(stream + size + len, TAIL, sizeof TAIL - 1);
                size += len + sizeof TAIL - 1;
                alike &= alike_as_told(stream, size, &PLAIN, &MEMORIES[byte % 2]);
            }
    CHECK(alike);
}

int main(void)
{
    make_guarded_memory();
    test_texts_of_events_that_are_alike();
    test_empty_texts_are_left_out();
    test_it_stops_at_what_is_not_alike();
    test_it_stops_at_what_is_not_whole();
    test_a_quotation_mark_ends_the_text();
    test_an_escape_takes_one_character_with_it();
    test_control_characters_are_not_alike();
    test_a_filler_says_nothing();
    test_parts_that_are_too_short_are_none();
    test_every_short_stream();
    test_every_byte_at_every_place();
    return report_checks();
}
