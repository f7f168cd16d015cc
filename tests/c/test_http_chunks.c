/* test_http_chunks: unit tests of the decoder of chunked bodies.
 *
 * Goal: say for each rule of http_chunks.h what it means, on a stream short enough to be read, and
 * then prove that it holds however that stream is cut into reads, with `out` apart and in place.
 *
 * Rules: both buffers lie right before a page that may not be touched, and once more right after
 * one.  The feeding and the slow model live in fuzz_http_chunks.c, which is included; what is
 * expected is written in the notation that is explained there: D[body], how it ended, and how many
 * bytes were not looked at.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include "fuzz_http_chunks.c"

#include "checks.h"

/* --- every way to feed a stream --- */

/* In two reads, cut everywhere; byte by byte; byte by byte with empty reads in between; and in one
 * read, of every beginning of the stream: what is known is told at once. */
static int every_split_is_alike(const char *bytes, size_t len, int in_place,
                                const struct memory *memory)
{
    struct feeding how = {.in_place = in_place};
    int alike = 1;

    for (how.first = 0; how.first <= len; how.first++) {
        alike &= decodes_alike(bytes, len, &how, memory);
        alike &= decodes_alike(bytes, how.first, &how, memory);
    }
    how.first = how.later = 1;
    alike &= decodes_alike(bytes, len, &how, memory);
    how.empty_reads = 1;
    alike &= decodes_alike(bytes, len, &how, memory);
    return alike;
}

static int every_way_is_alike(const char *bytes, size_t len)
{
    size_t memory;
    int alike = 1;

    for (memory = 0; memory < LEN(MEMORIES); memory++) {
        alike &= every_split_is_alike(bytes, len, 0, &MEMORIES[memory]);
        alike &= every_split_is_alike(bytes, len, 1, &MEMORIES[memory]);
    }
    return alike;
}

/* In one read, the stream says `want`. */
static int says_at_once(const char *bytes, size_t len, const char *want)
{
    struct feeding how = {.first = len};
    struct text told = {0};
    int as_wanted;

    tell_decoder(bytes, len, &how, &MEMORIES[0], &told);
    as_wanted = strcmp(told.chars, want) == 0;
    if (!as_wanted)
        fprintf(stderr, "expected %s\ngot      %s\n", want, told.chars);
    free(told.chars);
    return as_wanted;
}

static int says(const char *bytes, size_t len, const char *want)
{
    return says_at_once(bytes, len, want) && every_way_is_alike(bytes, len);
}

#define SAYS(literal, want) CHECK(says(BYTES(literal), want))

/* --- the body --- */

static void test_a_body_is_the_bytes_of_its_chunks(void)
{
    SAYS("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "D[hello world]END+0");
    SAYS("1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", "D[abc]END+0");
    SAYS("0\r\n\r\n", "D[]END+0");
    SAYS("5\r\nhel", "D[hel]MORE+0"); /* what came of a chunk is given, all of it or not */
    SAYS("5\r\nhello", "D[hello]MORE+0");
    SAYS("5\r\nhello\r", "D[hello]MORE+0");
    SAYS("5\r\nhello\r\n0\r\n", "D[hello]MORE+0");
}

static void test_a_body_may_hold_any_byte(void)
{
    SAYS("4\r\n\r\n\r\n\r\n0\r\n\r\n", "D[\\r\\n\\r\\n]END+0");
    SAYS("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "D[0\\r\\n\\r\\n]END+0");
    SAYS("3\r\n\0\xFF\0\r\n0\r\n\r\n", "D[\\x00\\xff\\x00]END+0");
}

static void test_a_size_is_hexadecimal_of_either_case(void)
{
    SAYS("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "D[01234567890123456789]END+0");
    SAYS("1B\r\nabcdefghijklmnopqrstuvwxyz!\r\n0\n\n", "D[abcdefghijklmnopqrstuvwxyz!]END+0");
    SAYS("1f\r\nabcdefghijklmnopqrstuvwxyz!?.;:\r\n0\n\n",
         "D[abcdefghijklmnopqrstuvwxyz!?.;:]END+0");
    SAYS("F\r\n0123456789abcde\r\nf\r\n0123456789abcde\r\n0\n\n",
         "D[0123456789abcde0123456789abcde]END+0");
    SAYS("00000002\r\nab\r\n000\r\n\r\n", "D[ab]END+0");
}

/* Fifteen digits, leading zeros among them, of each size anew: what 64 bits hold. */
static void test_a_size_has_up_to_fifteen_digits(void)
{
    SAYS("000000000000002\r\nab\r\n000000000000001\r\nc\r\n000000000000000\r\n\r\n",
         "D[abc]END+0");
    SAYS("0000000000000002\r\nab\r\n0\r\n\r\n", "D[]SIZE+11");
    SAYS("2\r\nab\r\n0000000000000000\r\n\r\n", "D[ab]SIZE+4");
    SAYS("1111111111111111", "D[]SIZE+0"); /* and what is too many is known at once */
    SAYS("fffffffffffffff\r\nab\r\n0\r\n\r\n", "D[ab\\r\\n0\\r\\n\\r\\n]MORE+0");
    SAYS("100000002\r\nab\r\n0\r\n\r\n", "D[ab\\r\\n0\\r\\n\\r\\n]MORE+0"); /* not 2: 2 + 2^32 */
    SAYS("FFFFFFFFFFFFFFFF\r\n", "D[]SIZE+2");
}

static void test_sizes_that_are_none(void)
{
    SAYS("-5\r\nhello\r\n", "D[]SIZE+10");
    SAYS("+5\r\nhello\r\n", "D[]SIZE+10");
    SAYS("0x5\r\nhello\r\n", "D[]SIZE+10");
    SAYS("1_0\r\n", "D[]SIZE+3");
    SAYS("5g\r\n", "D[]SIZE+2");
    SAYS("g\r\n", "D[]SIZE+2");
    SAYS("@\n", "D[]SIZE+1"); /* the neighbours of the digits */
    SAYS("G\n", "D[]SIZE+1");
    SAYS("`\n", "D[]SIZE+1");
    SAYS("/\n", "D[]SIZE+1");
    SAYS(":\n", "D[]SIZE+1");
    SAYS("\r\n", "D[]SIZE+1");
    SAYS("\n", "D[]SIZE+0");
    SAYS(";a=b\r\n", "D[]SIZE+5");
    SAYS(" 5\r\n", "D[]SIZE+3");
    SAYS("\t5\r\n", "D[]SIZE+3");
    SAYS("\0" "5\r\n", "D[]SIZE+3");
    SAYS("5\0\r\n", "D[]SIZE+2");
    SAYS("\xD9\xA1\r\n", "D[]SIZE+3"); /* a digit, but an Arabic one */
    SAYS("\xB5\r\n", "D[]SIZE+2");     /* '5' with its high bit set */
}

/* What came before a mistake is given. */
static void test_a_mistake_takes_nothing_back(void)
{
    SAYS("2\r\nab\r\n-1\r\nc\r\n", "D[ab]SIZE+6");
    SAYS("2\r\nab\r\n3\r\ncdefgh\r\n0\r\n\r\n", "D[abcde]BOUNDARY+9");
    SAYS("2\r\nab\r\n\r\n", "D[ab]SIZE+1");
}

static void test_blanks_and_an_extension_may_follow(void)
{
    SAYS("2 \r\nab\r\n0 \t \r\n\r\n", "D[ab]END+0");
    SAYS("2;\r\nab\r\n0;a\r\n\r\n", "D[ab]END+0");
    SAYS("2; name=\"a;b\"\r\nab\r\n0 ;a=b;c=d\r\n\r\n", "D[ab]END+0");
    SAYS("2\t;\0\xFF\r\nab\r\n0;\n\n", "D[ab]END+0");
    SAYS("2;a\rb\r\r\nab\r\n0\r\n\r\n", "D[ab]END+0"); /* up to the LF, whatever there is */
    SAYS("2;3\r\nab\r\n0\r\n\r\n", "D[ab]END+0");      /* digits there are none of the size's */
    SAYS("2 a\r\nab\r\n", "D[]SIZE+6");
    SAYS("2 2\r\nab\r\n", "D[]SIZE+6");
    SAYS("2 \0\r\nab\r\n", "D[]SIZE+6");
    SAYS("2,a\r\nab\r\n", "D[]SIZE+7");
}

static void test_a_line_ends_with_crlf_or_lf(void)
{
    SAYS("2\nab\n0\n\n", "D[ab]END+0");
    SAYS("2\nab\r\n0\r\n\n", "D[ab]END+0");
    SAYS("2\r\nab\n0\n\r\n", "D[ab]END+0");
    SAYS("2\r\r\nab\r\n", "D[]SIZE+5"); /* a CR is one of a line end, or wrong */
    SAYS("2\rab\r\n", "D[]SIZE+3");
    SAYS("2 \r \r\n", "D[]SIZE+2");
    SAYS("2\r;\r\n", "D[]SIZE+2");
}

static void test_a_chunk_ends_where_its_size_says(void)
{
    SAYS("2\r\nabc\r\n0\r\n\r\n", "D[ab]BOUNDARY+7");
    SAYS("2\r\nabx", "D[ab]BOUNDARY+0"); /* known at once, not with the line's end */
    SAYS("2\r\nab\rx\n", "D[ab]BOUNDARY+1");
    SAYS("2\r\nab\r\r\n", "D[ab]BOUNDARY+1");
    SAYS("2\r\nab0\r\n\r\n", "D[ab]BOUNDARY+4");
    SAYS("2\r\nab \r\n", "D[ab]BOUNDARY+2");
    SAYS("2\r\nab\0\r\n", "D[ab]BOUNDARY+2");
    SAYS("2\r\nab\n\r\n", "D[ab]SIZE+1"); /* a line end, then a size that is none */
    SAYS("4\r\nab\r\n0\r\n\r\n", "D[ab\\r\\n]BOUNDARY+4");
    SAYS("3\r\nab\r\n0\r\n\r\n", "D[ab\\r]END+0"); /* the LF alone ends it: not to be told */
}

static void test_trailers_are_skipped(void)
{
    SAYS("0\r\nX-A: b\r\n\r\n", "D[]END+0");
    SAYS("2\r\nab\r\n0\r\nA: b\r\nC: d\nE\n\n", "D[ab]END+0");
    SAYS("0\r\n5\r\nhello\r\n\r\n", "D[]END+0"); /* nothing in them is a chunk */
    SAYS("0\r\n\0\xFF\r\r\n\r\n", "D[]END+0");
    SAYS("0\r\nA: b\r\n", "D[]MORE+0");
    SAYS("0\r\nA: b\r\n\r", "D[]MORE+0");
    SAYS("0\r\n\rA\r\n\r\n", "D[]END+0"); /* a CR is only one of a line end before an LF */
    SAYS("0\r\n\r\r\n\r\n", "D[]END+0");
    SAYS("0\r\n \r\n\r\n", "D[]END+0");
}

/* After the end nothing is looked at: what is left is an answer that nobody asked for. */
static void test_surplus_is_what_was_not_consumed(void)
{
    SAYS("0\r\n\r\nHTTP/1.1 200 OK\r\n", "D[]END+17");
    SAYS("2\r\nab\r\n0\r\n\r\n\r\n", "D[ab]END+2");
    SAYS("0\n\n\n", "D[]END+1");
    SAYS("0\r\nA: b\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "D[]END+15");
}

static void test_nothing_in_nothing_out(void)
{
    struct http_chunks c = {0};

    SAYS("", "D[]MORE+0");
    CHECK(http_dechunk(&c, NULL, 0, NULL) == 0);
    CHECK(c.status == HTTP_CHUNKS_MORE && c.consumed == 0);
}

/* The calls as a reader makes them: what each gives, and how much of it was looked at. */
static void test_call_by_call(void)
{
    static const struct {
        const char *in, *out;
        int status;
        size_t consumed;
    } CALLS[] = {{"5;x\r\nhe", "he", HTTP_CHUNKS_MORE, 7},
                 {"l", "l", HTTP_CHUNKS_MORE, 1},
                 {"", "", HTTP_CHUNKS_MORE, 0},
                 {"lo\r\n2\r\n, \r\n1", "lo, ", HTTP_CHUNKS_MORE, 12},
                 {"0\nthe world is \n", "the world is \n", HTTP_CHUNKS_MORE, 16},
                 {"wide\r\n0\r\n\r\nHTTP", "wi", HTTP_CHUNKS_BOUNDARY, 3},
                 {"0\r\n\r\n", "", HTTP_CHUNKS_BOUNDARY, 0}};
    struct http_chunks c = {0};
    char out[32];
    size_t i;

    for (i = 0; i < LEN(CALLS); i++) {
        size_t size = http_dechunk(&c, CALLS[i].in, strlen(CALLS[i].in), out);

        CHECK(size == strlen(CALLS[i].out) && memcmp(out, CALLS[i].out, size) == 0);
        CHECK(c.status == CALLS[i].status && c.consumed == CALLS[i].consumed && !c.surplus);
    }
}

/* It is remembered, as a reader may look later; nothing is none, and a mistake has none either. */
static void test_surplus_is_remembered(void)
{
    struct http_chunks c = {0};
    char out[16];

    CHECK(http_dechunk(&c, BYTES("0\r\n\r\n"), out) == 0 && c.status == HTTP_CHUNKS_END);
    CHECK(http_dechunk(&c, NULL, 0, NULL) == 0 && !c.surplus);
    CHECK(http_dechunk(&c, BYTES("x"), out) == 0 && c.surplus);
    CHECK(http_dechunk(&c, NULL, 0, NULL) == 0 && c.surplus);
}

/* Two bodies at a time: all that is remembered is in the caller's struct. */
static void test_bodies_do_not_know_of_each_other(void)
{
    static const char ONE[] = "3\r\nabc\r\n0\r\n\r\n", OTHER[] = "5;x\nhello\n0\n\n";
    struct http_chunks one = {0}, other = {0};
    struct text ones = {0}, others = {0};
    char out;
    size_t i;

    for (i = 0; i < sizeof ONE - 1; i++) {
        put(&ones, &out, http_dechunk(&one, ONE + i, 1, &out));
        put(&others, &out, http_dechunk(&other, OTHER + i, 1, &out));
    }
    CHECK(strcmp(ones.chars, "abc") == 0 && one.status == HTTP_CHUNKS_END);
    CHECK(strcmp(others.chars, "hello") == 0 && other.status == HTTP_CHUNKS_END);
    free(ones.chars);
    free(others.chars);
}

/* --- the limits --- */

/* Long streams are cut only where it matters: around where the line begins, and where it is too
 * long; and read byte by byte, and in pieces of about a thousand. */
static int says_when_long(const struct text *stream, const char *want)
{
    int alike = says_at_once(stream->chars, stream->len, want), in_place;
    struct feeding how = {0};
    size_t memory, i;

    for (memory = 0; memory < LEN(MEMORIES); memory++)
        for (in_place = 0; in_place <= 1; in_place++) {
            how.in_place = in_place;
            how.later = how.die = 0;
            for (i = 0; i < 24 && i < stream->len; i++) {
                how.first = i;
                alike &= decodes_alike(stream->chars, stream->len, &how, &MEMORIES[memory]);
                how.first = stream->len - i;
                alike &= decodes_alike(stream->chars, stream->len, &how, &MEMORIES[memory]);
                alike &= decodes_alike(stream->chars, how.first, &how, &MEMORIES[memory]);
            }
            how.first = how.later = 1;
            alike &= decodes_alike(stream->chars, stream->len, &how, &MEMORIES[memory]);
            how.later = 2000;
            how.die = 1;
            alike &= decodes_alike(stream->chars, stream->len, &how, &MEMORIES[memory]);
        }
    return alike;
}

/* `begin`, then so many times `fill` that with `end` there are `size` bytes. */
static void put_line(struct text *stream, size_t size, const char *begin, char fill,
                     const char *end)
{
    size_t i, filled = size - strlen(begin) - strlen(end);

    put(stream, begin, strlen(begin));
    for (i = 0; i < filled; i++)
        put(stream, &fill, 1);
    put(stream, end, strlen(end));
}

enum { LONGEST = HTTP_CHUNKS_LONGEST_LINE };

/* A line of `size` bytes, its end counted, after `before` and before `after`. */
static int line_says(const char *before, size_t size, const char *begin, char fill,
                     const char *end, const char *after, const char *want)
{
    struct text stream = {0};
    int as_wanted;

    put(&stream, before, strlen(before));
    put_line(&stream, size, begin, fill, end);
    put(&stream, after, strlen(after));
    as_wanted = says_when_long(&stream, want);
    free(stream.chars);
    return as_wanted;
}

static void test_a_size_line_may_have_8192_bytes(void)
{
    static const char AFTER[] = "ab\r\n0\r\n\r\n"; /* 9 bytes */

    CHECK(LONGEST == 8192);
    CHECK(line_says("", LONGEST, "2;", 'x', "\r\n", AFTER, "D[ab]END+0"));
    CHECK(line_says("", LONGEST, "2;", 'x', "\n", AFTER, "D[ab]END+0"));
    CHECK(line_says("", LONGEST, "2", ' ', "\r\n", AFTER, "D[ab]END+0"));
    CHECK(line_says("1\r\nz\r\n", LONGEST, "2", '\t', ";\n", AFTER, "D[zab]END+0"));
    CHECK(line_says("", LONGEST + 1, "2;", 'x', "\r\n", AFTER, "D[]LINE+9"));
    CHECK(line_says("", LONGEST + 1, "2;", 'x', "\n", AFTER, "D[]LINE+9"));
    CHECK(line_says("", LONGEST + 1, "2", ' ', "\r\n", AFTER, "D[]LINE+9"));
    CHECK(line_says("", LONGEST + 2, "2;", 'x', "\r\n", AFTER, "D[]LINE+10"));
    CHECK(line_says("1\r\nz\r\n", LONGEST + 1, "2;", 'x', "\n", AFTER, "D[z]LINE+9"));
    CHECK(line_says("", LONGEST, "2;", 'x', "", "", "D[]MORE+0")); /* it may still end, but not */
    CHECK(line_says("", LONGEST, "2;", 'x', "", "\n", "D[]LINE+0")); /* with one byte more */
}

/* At the byte that is one too many, that is the mistake, whatever the byte is. */
static void test_what_is_wrong_first_counts(void)
{
    CHECK(line_says("", LONGEST, "2", ' ', "x", "", "D[]SIZE+0"));
    CHECK(line_says("", LONGEST + 1, "2", ' ', "x", "", "D[]LINE+0"));
    CHECK(line_says("", LONGEST + 1, "2", ' ', "\rx", "", "D[]LINE+0"));
    CHECK(line_says("2\r\nab", LONGEST + 1, "", ' ', "\n", "", "D[ab]BOUNDARY+8192"));
    CHECK(line_says("", LONGEST + 1, "", '1', "\n", "", "D[]SIZE+8177"));
}

static void test_a_trailer_may_have_8192_bytes(void)
{
    CHECK(line_says("0\r\n", LONGEST, "X: ", 'y', "\r\n", "\r\n", "D[]END+0"));
    CHECK(line_says("0\r\n", LONGEST, "", '\r', "\n", "\n", "D[]END+0"));
    CHECK(line_says("0\r\n", LONGEST + 1, "X: ", 'y', "\r\n", "\r\n", "D[]LINE+2"));
    CHECK(line_says("0\r\n", LONGEST + 1, "", '\r', "\n", "\n", "D[]LINE+1"));
    CHECK(line_says("0\nA: b\n", LONGEST + 1, "X: ", 'y', "\n", "\n", "D[]LINE+1"));
    CHECK(line_says("0\r\n", LONGEST + 1, "X: ", 'y', "", "", "D[]LINE+0"));
}

/* Each line is counted anew: the limit is a line's, not the body's. */
static void test_lines_are_counted_one_by_one(void)
{
    struct text stream = {0};

    put_line(&stream, LONGEST, "1;", 'x', "\r\n");
    put(&stream, BYTES("a\r\n"));
    put_line(&stream, LONGEST, "1;", 'x', "\n");
    put(&stream, BYTES("b\n"));
    put_line(&stream, LONGEST, "0", ' ', "\n");
    put_line(&stream, LONGEST, "A: ", 'y', "\n");
    put_line(&stream, LONGEST, "B: ", 'y', "\r\n");
    put(&stream, BYTES("\r\n"));
    CHECK(says_when_long(&stream, "D[ab]END+0"));
    free(stream.chars);
}

static int trailers_say(size_t count, const char *trailer, const char *after, const char *want)
{
    struct text stream = {0};
    size_t i;
    int as_wanted;

    put(&stream, BYTES("2\r\nab\r\n0\r\n"));
    for (i = 0; i < count; i++)
        put(&stream, trailer, strlen(trailer));
    put(&stream, after, strlen(after));
    as_wanted = says(stream.chars, stream.len, want);
    free(stream.chars);
    return as_wanted;
}

static void test_there_may_be_100_trailers(void)
{
    CHECK(HTTP_CHUNKS_MOST_TRAILERS == 100);
    CHECK(trailers_say(99, "X: y\r\n", "\r\n", "D[ab]END+0"));
    CHECK(trailers_say(100, "X: y\r\n", "\r\n", "D[ab]END+0")); /* the blank line is none */
    CHECK(trailers_say(101, "X: y\r\n", "\r\n", "D[ab]TRAILERS+2"));
    CHECK(trailers_say(100, "X\n", "Y", "D[ab]MORE+0")); /* it is one when it has come */
    CHECK(trailers_say(100, "X\n", "Y\n", "D[ab]TRAILERS+0"));
    CHECK(trailers_say(110, "\r\r\n", "", "D[ab]TRAILERS+27"));
}

/* A large body goes through: counts of bytes are as wide as they have to be. */
static void test_chunks_as_large_as_a_read(void)
{
    struct text stream = {0}, want = {0};
    size_t i;

    put(&stream, BYTES("8000\r\n"));
    put(&want, BYTES("D["));
    for (i = 0; i < 0x8000; i++) {
        put(&stream, &"abcdefg"[i % 7], 1);
        put(&want, &"abcdefg"[i % 7], 1);
    }
    put(&stream, BYTES("\r\n0\r\n\r\nmore"));
    put(&want, BYTES("]END+4"));
    CHECK(says_when_long(&stream, want.chars));
    free(stream.chars);
    free(want.chars);
}

/* --- every short stream, every size --- */

static const char *const PARTS[] = {"1",  "a", "0", "\r", "\n", "\r\n", ";",
                                    " ", "x", "1\r\nz\r\n", "0\r\n"};

static int every_continuation_is_alike(char *stream, size_t len, int more)
{
    int alike = every_split_is_alike(stream, len, more % 2, &MEMORIES[len % LEN(MEMORIES)]);
    size_t i;

    for (i = 0; more > 0 && i < LEN(PARTS); i++) {
        size_t part = strlen(PARTS[i]);

        memcpy(stream + len, PARTS[i], part);
        alike &= every_continuation_is_alike(stream, len + part, more - 1);
    }
    return alike;
}

/* All sequences of up to four parts; and up to three after a chunk, and after the last one. */
static void test_every_short_stream(void)
{
    char stream[64];

    CHECK(every_continuation_is_alike(stream, 0, 4));
    CHECK(every_continuation_is_alike(memcpy(stream, "2\r\nab", 5), 5, 3));
    CHECK(every_continuation_is_alike(memcpy(stream, "0\r\n", 3), 3, 3));
}

/* Chunks of 1 to 300 bytes, as a server writes them, in reads of all sizes as the die falls: the
 * body is what was put into them.  This asks no model. */
static void test_what_a_server_writes_comes_out(void)
{
    static const size_t LATER[] = {1, 2, 7, 64, 300, 5000};
    static const char TEXT[] = "It is a truth universally acknowledged, 0\r\n\r\n ";
    struct text stream = {0}, want = {0}, body = {0};
    size_t size, i;

    put(&body, "", 0);
    for (size = 1; size <= 300; size++) {
        char line[32];
        size_t start = body.len;

        for (i = 0; i < size; i++)
            put(&body, &TEXT[body.len % (sizeof TEXT - 1)], 1);
        i = (size_t)snprintf(line, sizeof line, size % 2 ? "%zx\r\n" : "%zX\r\n", size);
        put(&stream, line, i);
        put(&stream, body.chars + start, size);
        put(&stream, BYTES("\r\n"));
    }
    put(&stream, BYTES("0\r\n\r\n"));
    put_piece(&want, 'D', body.chars, body.len);
    put(&want, BYTES("END+0"));
    for (i = 0; i < 24 * LEN(LATER); i++) {
        struct feeding how = {.later = LATER[i / 24], .die = (unsigned)i + 1};
        struct text told = {0};

        how.in_place = (int)(i % 2);
        how.empty_reads = (int)(i / 2 % 2);
        tell_decoder(stream.chars, stream.len, &how, &MEMORIES[i / 4 % 2], &told);
        CHECK(strcmp(told.chars, want.chars) == 0);
        free(told.chars);
    }
    free(stream.chars);
    free(want.chars);
    free(body.chars);
}

int main(void)
{
    make_guarded_memory();
    test_a_body_is_the_bytes_of_its_chunks();
    test_a_body_may_hold_any_byte();
    test_a_size_is_hexadecimal_of_either_case();
    test_a_size_has_up_to_fifteen_digits();
    test_sizes_that_are_none();
    test_a_mistake_takes_nothing_back();
    test_blanks_and_an_extension_may_follow();
    test_a_line_ends_with_crlf_or_lf();
    test_a_chunk_ends_where_its_size_says();
    test_trailers_are_skipped();
    test_surplus_is_what_was_not_consumed();
    test_nothing_in_nothing_out();
    test_call_by_call();
    test_surplus_is_remembered();
    test_bodies_do_not_know_of_each_other();
    test_a_size_line_may_have_8192_bytes();
    test_what_is_wrong_first_counts();
    test_a_trailer_may_have_8192_bytes();
    test_lines_are_counted_one_by_one();
    test_there_may_be_100_trailers();
    test_chunks_as_large_as_a_read();
    test_every_short_stream();
    test_what_a_server_writes_comes_out();
    return report_checks();
}
