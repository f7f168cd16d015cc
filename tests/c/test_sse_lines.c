/* test_sse_lines: unit tests of the scanner and of the joiner.
 *
 * Goal: say for each rule of sse_lines.h what it means, on a stream short enough to be read, and
 * then prove that it holds however that stream is cut into reads.
 *
 * Rules: every buffer lies right before a page that may not be touched, and once more right after
 * one, so that reading a single byte outside of it ends the program.  The feeding and the slow
 * model live in fuzz_sse_lines.c, which is included; what is expected is written in the notation
 * that is explained there: 0[a|b] a run, B[..] a block, L[..] a line, R[..] the rest.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include "fuzz_sse_lines.c"

#include "checks.h"

/* --- every way to feed a stream --- */

static const struct feeding PLAINLY = {.limit = SIZE_MAX, .room = 64};
static const struct feeding UNKNOWN_TOO = {.limit = SIZE_MAX, .room = 64, .keep_unknown = 1};

/* In two reads, cut everywhere; byte by byte; byte by byte with empty reads in between. */
static int every_split_is_alike(const char *bytes, size_t len, struct feeding how,
                                const struct memory *memory)
{
    int alike = 1;

    for (how.first = 0; how.first <= len; how.first++)
        alike &= scans_alike(bytes, len, &how, memory);
    how.first = how.later = 1;
    alike &= scans_alike(bytes, len, &how, memory);
    how.empty_reads = 1;
    alike &= scans_alike(bytes, len, &how, memory);
    return alike;
}

/* In one read, of every beginning of the stream: nothing is held back. */
static int every_beginning_is_alike(const char *bytes, size_t len, struct feeding how,
                                    const struct memory *memory)
{
    int alike = 1;

    for (how.first = 0; how.first <= len; how.first++)
        alike &= scans_alike(bytes, how.first, &how, memory);
    return alike;
}

static int every_way_is_alike(const char *bytes, size_t len, struct feeding how)
{
    static const size_t ROOMS[] = {1, 2, 64};
    size_t memory, room;
    int alike = 1;

    for (memory = 0; memory < LEN(MEMORIES); memory++) {
        for (room = 0; room < LEN(ROOMS); room++) {
            how.room = ROOMS[room];
            alike &= every_split_is_alike(bytes, len, how, &MEMORIES[memory]);
        }
        alike &= every_beginning_is_alike(bytes, len, how, &MEMORIES[memory]);
    }
    return alike;
}

/* In one read, told run by run, the stream says `want`; and it is the same in every way. */
static int says(const char *bytes, size_t len, struct feeding how, const char *want)
{
    struct text told = {0};
    int as_wanted;

    how.spelled = 1;
    how.first = len;
    tell_scanner(bytes, len, &how, &MEMORIES[0], &told);
    as_wanted = strcmp(told.chars, want) == 0;
    if (!as_wanted)
        fprintf(stderr, "expected %s\ngot      %s\n", want, told.chars);
    free(told.chars);
    how.spelled = 0;
    return as_wanted && every_way_is_alike(bytes, len, how);
}

#define SAYS(literal, want) CHECK(says(BYTES(literal), PLAINLY, want))

/* --- the scanner --- */

static void test_plain_events_make_runs(void)
{
    SAYS("data: a\n\ndata: b\n\ndata: c\n\n", "0[a|b|c]R[]");
    SAYS("data:a\n\ndata:b\n\ndata:c\n\n", "1[a|b|c]R[]");
    SAYS("data: a\r\n\r\ndata: b\r\n\r\ndata: c\r\n\r\n", "2[a|b|c]R[]");
    SAYS("data:a\r\n\r\ndata:b\r\n\r\ndata:c\r\n\r\n", "3[a|b|c]R[]");
    SAYS("data: a\n\ndata: b\n\ndata: c", "0[a|b]R[data: c]");
    SAYS("data: a\n\ndata: b\n", "0[a]R[data: b\\n]");
}

static void test_a_run_goes_on_only_over_its_own_separator(void)
{
    SAYS("data: a\n\ndata:b\n\ndata: c\n\n", "0[a]1[b]0[c]R[]");
    SAYS("data:a\n\ndata: b\n\ndata:c\n\n", "1[a]0[b]1[c]R[]");
    SAYS("data: a\n\ndata: b\r\n\r\ndata: c\r\n\r\n", "0[a]2[b|c]R[]");
    SAYS("data: a\r\n\r\ndata: b\n\ndata: c\n\n", "2[a]0[b|c]R[]");
    SAYS("data: a\n\n\ndata: b\n\n", "0[a]0[b]R[]");     /* a blank line more */
    SAYS("data: a\n\r\ndata: b\n\r\n", "0[a]0[b]R[]");   /* line ends mixed in a separator */
    SAYS("data: a\r\n\ndata: b\r\n\n", "2[a]2[b]R[]");
    SAYS("data: a\n\n:\ndata: b\n\n", "0[a]0[b]R[]");    /* a comment before */
    SAYS("data: a\n:\n\ndata: b\n\n", "0[a]0[b]R[]");    /* and one after the data */
    SAYS("data: a\n\nid: 1\n\ndata: b\n\n", "0[a]B[id: 1\\n]0[b]R[]");
    SAYS("data: a\n\nretry: 1\n\ndata: b\n\n", "0[a]L[retry: 1]0[b]R[]");
    SAYS("data: a\n\nx\n\ndata: b\n\n", "0[a]0[b]R[]");
    SAYS("data:  a\n\ndata:  b\n\n", "0[ a| b]R[]");      /* one space is the spelling's */
    SAYS("data: data: a\n\ndata: b\n\n", "0[data: a|b]R[]");
}

static void test_a_cr_ends_a_line_at_once(void)
{
    SAYS("data: a\r\rdata: b\r\r", "2[a]2[b]R[]"); /* not the separator of a run */
    SAYS("data:a\r\rdata:b\r\r", "3[a]3[b]R[]");
    SAYS("data: a\r\r\ndata: b\r\r\n", "2[a]2[b]R[]");
    SAYS("data: a\n\rdata: b\n\r", "0[a]0[b]R[]");
    SAYS("id: 1\rdata: a\r\r", "B[id: 1\\rdata: a\\r]R[]");
    SAYS("data: a\r\n\r", "2[a]R[]"); /* the LF that may follow is not waited for */
    SAYS("data: a\r\n\r\n", "2[a]R[]");
    SAYS("\r\n\r\r\n\n\rdata:1\r\r\n\ndata:2\n\r\r\n", "3[1]1[2]R[]");
}

/* The second LF of "\r\n\n" is a blank line of its own; that of "\r\n" never is. */
static void test_a_crlf_cut_in_two_is_one_end(void)
{
    SAYS("data: a\r\ndata: b\r\n\r\n", "B[data: a\\r\\ndata: b\\r\\n]R[]");
    SAYS("id: 1\r\n\r\nid: 2\r\n\r\n", "B[id: 1\\r\\n]B[id: 2\\r\\n]R[]");
    SAYS("\r\n\r\ndata: a\r\n\n", "2[a]R[]");
    SAYS("\r\nid: 1\n\n", "B[id: 1\\n]R[]"); /* the block begins after the LF */
    SAYS("\r\n", "R[]");
}

static void test_comments_are_nothing(void)
{
    SAYS(": ping\n\n: ping\n\n", "R[]");
    SAYS(":\r\n\r\n:\r\r", "R[]");
    SAYS(":data: a\n\n", "R[]");
    SAYS(": c\ndata: a\n: d\n\n", "0[a]R[]");
    SAYS("id: 1\n: c\ndata: a\n\n", "B[id: 1\\n: c\\ndata: a\\n]R[]");
    SAYS("\n\n\n\ndata: a\n\n\n\n", "0[a]R[]");
}

static void test_other_events_come_as_blocks(void)
{
    SAYS("event: e\ndata: a\n\n", "B[event: e\\ndata: a\\n]R[]");
    SAYS("data: a\nevent: e\n\n", "B[data: a\\nevent: e\\n]R[]");
    SAYS("data: a\nid: 1\n\n", "B[data: a\\nid: 1\\n]R[]");
    SAYS("data: a\ndata: b\n\n", "B[data: a\\ndata: b\\n]R[]");
    SAYS("data\n\n", "B[data\\n]R[]");
    SAYS("data: a\ndata\n\n", "B[data: a\\ndata\\n]R[]");
    SAYS("event\n\nid\n\n", "B[event\\n]B[id\\n]R[]");
    SAYS("id:\n\n", "B[id:\\n]R[]");
    SAYS("id: 1\nx\nretry: 2\n\n", "L[retry: 2]B[id: 1\\nx\\nretry: 2\\n]R[]");
}

static void test_retry_acts_by_itself(void)
{
    SAYS("retry: 5\n", "L[retry: 5]R[retry: 5\\n]"); /* before any blank line */
    SAYS("retry\n\n", "L[retry]R[]");
    SAYS("retry:\r\n\r\n", "L[retry:]R[]");
    SAYS("data: a\nretry: 5\n\n", "L[retry: 5]0[a]R[]"); /* and the event stays plain */
    SAYS("retry: 1\nretry: 2\n\n", "L[retry: 1]L[retry: 2]R[]");
    SAYS("retryx: 1\nretr: 1\n Retry: 1\n\n", "R[]");
}

static void test_unknown_lines_come_if_wanted(void)
{
    static const char STREAM[] =
        "{\"a\": 1}\n\ndatax\ndat\nDATA: a\n data: b\nidx\ni\neventx\n\ndata: c\nx:\n\n";

    CHECK(says(BYTES(STREAM), PLAINLY, "0[c]R[]"));
    CHECK(says(BYTES(STREAM), UNKNOWN_TOO,
               "L[{\"a\": 1}]L[datax]L[dat]L[DATA: a]L[ data: b]L[idx]L[i]L[eventx]L[x:]0[c]R[]"));
    CHECK(says(BYTES(": c\n:x\ndata\nevent\nid\n\n"), UNKNOWN_TOO,
               "B[: c\\n:x\\ndata\\nevent\\nid\\n]R[]")); /* what is known is not among them */
    CHECK(says(BYTES("x\ry\r\nz"), UNKNOWN_TOO, "L[x]L[y]R[x\\ry\\r\\nz]"));
}

static void test_empty_data(void)
{
    SAYS("data:\n\ndata:\n\n", "1[|]R[]");
    SAYS("data: \n\ndata: \n\n", "0[|]R[]");
    SAYS("data:\r\n\r\ndata:\r\n\r\n", "3[|]R[]");
    SAYS("data: \r\n\r\ndata: \r\n\r\n", "2[|]R[]");
    SAYS("data:\n\ndata: \n\ndata:\n\n", "1[]0[]1[]R[]");
    SAYS("data:", "R[data:]");
}

static void test_a_byte_order_mark_is_the_callers(void)
{
    SAYS("\xEF\xBB\xBF" "data: a\n\n", "R[]"); /* part of a field's name, and so unknown */
    CHECK(says(BYTES("\xEF\xBB\xBF" "data: a\n\n"), UNKNOWN_TOO,
               "L[\\xef\\xbb\\xbfdata: a]R[]"));
}

static void test_nul_is_a_byte_like_any_other(void)
{
    SAYS("data: \0\n\ndata: a\0b\n\n", "0[\\x00|a\\x00b]R[]");
    SAYS("data\0: a\n\0\n\0data: b\n\n", "R[]");
    SAYS("id: \0\n\n", "B[id: \\x00\\n]R[]");
    CHECK(says(BYTES("\0\n"), UNKNOWN_TOO, "L[\\x00]R[\\x00\\n]"));
}

static void test_nothing_in_nothing_out(void)
{
    struct sse_scanner s = {.limit = 0};
    struct sse_span span;

    SAYS("", "R[]");
    CHECK(sse_scan(&s, NULL, 0, &span, 1) == SSE_OK && s.count == 0 && s.consumed == 0);
    CHECK(sse_scan(&s, "\n", 1, &span, 1) == SSE_OK && s.count == 0 && s.consumed == 1);
    CHECK(sse_scan(&s, "\n", 0, &span, 1) == SSE_OK && s.count == 0 && s.consumed == 0);
}

/* With room for one span, each call takes one event and stops before the line that needs the
 * next; what it consumed is exactly the blocks that are done. */
static void test_it_stops_when_there_is_no_room(void)
{
    static const char STREAM[] = "data: a\n\nretry: 1\nid: 2\n\ndata: b\n\ndata: c\n\n";
    static const struct {
        int code, kind;
        size_t consumed, start, end;
    } CALLS[] = {{SSE_MORE, SSE_RUN, 9, 6, 7},
                 {SSE_MORE, SSE_LINE, 0, 0, 8},
                 {SSE_MORE, SSE_BLOCK, 16, 0, 15},
                 {SSE_MORE, SSE_RUN, 9, 6, 7},
                 {SSE_OK, SSE_RUN, 9, 6, 7}};
    struct sse_scanner s = {.limit = 64};
    const char *buf = STREAM;
    size_t len = sizeof STREAM - 1, i;

    for (i = 0; i < LEN(CALLS); i++) {
        struct sse_span span = {0, 0, -1};

        CHECK(sse_scan(&s, buf, len, &span, 1) == CALLS[i].code);
        CHECK(s.count == 1 && s.consumed == CALLS[i].consumed);
        CHECK(span.kind == CALLS[i].kind);
        CHECK(span.start == CALLS[i].start && span.end == CALLS[i].end);
        buf += s.consumed;
        len -= s.consumed;
    }
    CHECK(len == 0);
}

/* The manual says to call with what is left; that a reader added to it first does no harm, and
 * one that forgot bytes gets a wrong answer, but no byte outside of its buffer is read. */
static void test_a_buffer_may_change_after_more(void)
{
    struct sse_scanner s = {.limit = 64};
    struct sse_span span;
    char *less = place(&MEMORIES[0], BYTES("id: 2\ni"));

    CHECK(sse_scan(&s, BYTES("id: 1\n\nid: 2\nid"), &span, 1) == SSE_MORE && s.consumed == 7);
    CHECK(sse_scan(&s, BYTES("id: 2\nid: 3\r\r"), &span, 1) == SSE_OK && s.consumed == 13);
    CHECK(s.count == 1 && span.kind == SSE_BLOCK && span.start == 0 && span.end == 12);
    CHECK(sse_scan(&s, BYTES("id: 1\n\nid: 2\nid"), &span, 1) == SSE_MORE && s.consumed == 7);
    CHECK(sse_scan(&s, less, 7, &span, 1) == SSE_OK && s.count == 0 && s.consumed == 0);
    MEMORIES[0].release(less);
}

/* How long a scan takes grows with the bytes, not with the bytes times the calls: were each call
 * to search the whole buffer for a CR, this one would run for many minutes. */
static void test_a_long_buffer_is_searched_once(void)
{
    static const char EVENT[] = "id: 1\ndata: x\n\n";
    enum { EVENTS = 1 << 20, SIZE = sizeof EVENT - 1 };
    struct sse_scanner s = {.limit = 64};
    struct sse_span span;
    char *buf = malloc((size_t)EVENTS * SIZE);
    size_t done = 0, count = 0, i;
    int code;

    MUST(buf != NULL);
    for (i = 0; i < EVENTS; i++)
        memcpy(buf + i * SIZE, EVENT, SIZE);
    do {
        code = sse_scan(&s, buf + done, (size_t)EVENTS * SIZE - done, &span, 1);
        done += s.consumed;
        count += s.count;
    } while (code == SSE_MORE);
    CHECK(code == SSE_OK && count == EVENTS && done == (size_t)EVENTS * SIZE);
    free(buf);
}

/* --- the limit: of a block, from its first byte to the last before its blank line --- */

static int says_with_limit(const char *bytes, size_t len, size_t limit, const char *want)
{
    struct feeding how = PLAINLY;

    how.limit = limit;
    return says(bytes, len, how, want);
}

static void test_a_block_may_be_as_large_as_the_limit(void)
{
    CHECK(says_with_limit(BYTES("data: a\n\n"), 7, "LARGE"));
    CHECK(says_with_limit(BYTES("data: a\n\n"), 8, "0[a]R[]"));
    CHECK(says_with_limit(BYTES("data: a\n\n"), 9, "0[a]R[]"));
    CHECK(says_with_limit(BYTES("data: a\r\n\r\n"), 8, "LARGE"));
    CHECK(says_with_limit(BYTES("data: a\r\n\r\n"), 9, "2[a]R[]"));
    CHECK(says_with_limit(BYTES("data: a\r\r"), 7, "LARGE"));
    CHECK(says_with_limit(BYTES("data: a\r\r"), 8, "2[a]R[]"));
    CHECK(says_with_limit(BYTES(": a\nid: 1\n\n"), 9, "LARGE"));
    CHECK(says_with_limit(BYTES(": a\nid: 1\n\n"), 10, "B[: a\\nid: 1\\n]R[]"));
}

static void test_a_block_without_an_end_counts_too(void)
{
    CHECK(says_with_limit(BYTES("aaaa"), 3, "LARGE"));
    CHECK(says_with_limit(BYTES("aaaa"), 4, "R[aaaa]"));
    CHECK(says_with_limit(BYTES("aaa\n"), 3, "LARGE"));
    CHECK(says_with_limit(BYTES("aaa\n"), 4, "R[aaa\\n]"));
    CHECK(says_with_limit(BYTES("\n\r\n\r\r\n\n"), 0, "R[]")); /* blank lines count nowhere */
    CHECK(says_with_limit(BYTES("\r\na"), 0, "LARGE"));
}

static void test_what_came_before_a_large_block_is_given(void)
{
    CHECK(says_with_limit(BYTES("data: a\n\ndata: bb\n\n"), 8, "0[a]LARGE"));
    CHECK(says_with_limit(BYTES("retry: 1\n\ndata: a\n\nid: 123\n"), 9,
                          "L[retry: 1]0[a]R[id: 123\\n]"));
    CHECK(says_with_limit(BYTES("retry: 1\nid: 1\n\n"), 9, "L[retry: 1]LARGE"));
    CHECK(says_with_limit(BYTES("retry: 1\n\n"), 8, "L[retry: 1]LARGE")); /* its end is too much */
    CHECK(says_with_limit(BYTES("retry: 1\n\n"), 7, "LARGE"));
}

/* Every limit, on streams of all shapes: the model gives the verdict byte by byte. */
static void test_the_verdict_does_not_depend_on_the_reads(void)
{
    static const char *const STREAMS[] = {
        "data: a\r\n\r\nid: 1\r\n\r\n",     "retry: 1\r\rdata: a\n\ndata: b\n\n",
        "\r\n\r\r\n: c\rdata:a\r\n\ndata:", "x\nretry\r\ny\r\r\nevent\n\rz",
    };
    struct feeding how = UNKNOWN_TOO;
    size_t i;

    for (i = 0; i < LEN(STREAMS); i++)
        for (how.limit = 0; how.limit <= strlen(STREAMS[i]); how.limit++)
            CHECK(every_way_is_alike(STREAMS[i], strlen(STREAMS[i]), how));
}

/* --- every short stream --- */

/* All sequences of up to four of these parts: every pair of lines with every pair of ends. */
static const char *const PARTS[] = {"data: a", "data:", "data", "id:", "retry", ":", "x",
                                    "\n",      "\r",    "\r\n", "\n\n", "\r\n\r\n"};

static int every_continuation_is_alike(char *stream, size_t len, int more)
{
    struct feeding how = UNKNOWN_TOO;
    int alike = 1;
    size_t i;

    how.room = 1 + len % 3;
    how.limit = len % 2 ? SIZE_MAX : 12; /* 12: many of these pass, many do not */
    alike &= every_split_is_alike(stream, len, how, &MEMORIES[len % LEN(MEMORIES)]);
    for (i = 0; more > 0 && i < LEN(PARTS); i++) {
        size_t part = strlen(PARTS[i]);

        memcpy(stream + len, PARTS[i], part);
        alike &= every_continuation_is_alike(stream, len + part, more - 1);
    }
    return alike;
}

static void test_every_short_stream(void)
{
    char stream[4 * 8];

    CHECK(every_continuation_is_alike(stream, 0, 4));
}

/* --- the joiner: a run's data, one a line --- */

static int says_joined(const char *run, size_t len, int kind, const char *want, size_t want_len)
{
    return joins(run, len, kind, want, want_len, &MEMORIES[0]) &&
           joins(run, len, kind, want, want_len, &MEMORIES[1]);
}

#define JOINS(kind, run, want) CHECK(says_joined(BYTES(run), kind, BYTES(want)))

static void test_a_run_is_joined_one_a_line(void)
{
    JOINS(SSE_RUN, "a\n\ndata: b\n\ndata: c", "a\nb\nc");
    JOINS(SSE_RUN + 1, "a\n\ndata:b\n\ndata:c", "a\nb\nc");
    JOINS(SSE_RUN + 2, "a\r\n\r\ndata: b\r\n\r\ndata: c", "a\nb\nc");
    JOINS(SSE_RUN + 3, "a\r\n\r\ndata:b\r\n\r\ndata:c", "a\nb\nc");
    JOINS(SSE_RUN, "alone", "alone");
    JOINS(SSE_RUN + 2, "alone", "alone");
}

/* Only what is in a separator's place is taken for one. */
static void test_data_is_joined_as_it_is(void)
{
    JOINS(SSE_RUN, "data: \n\ndata: data: a\n\ndata:  b ", "data: \ndata: a\n b ");
    JOINS(SSE_RUN + 1, "data:\n\ndata:data: a", "data:\ndata: a");
    JOINS(SSE_RUN, "\0a\0\n\ndata: \xFF\0", "\0a\0\n\xFF\0");
    JOINS(SSE_RUN + 3, "\xE2\x82\xAC\r\n\r\ndata:\xE2", "\xE2\x82\xAC\n\xE2");
}

static void test_empty_data_is_an_empty_line(void)
{
    JOINS(SSE_RUN, "", "");
    JOINS(SSE_RUN + 3, "", "");
    JOINS(SSE_RUN, "\n\ndata: \n\ndata: ", "\n\n");
    JOINS(SSE_RUN + 1, "a\n\ndata:\n\ndata:b", "a\n\nb");
    JOINS(SSE_RUN + 2, "\r\n\r\ndata: a\r\n\r\ndata: ", "\na\n");
    JOINS(SSE_RUN + 3, "\r\n\r\ndata:", "\n");
}

/* What the scanner gives is what the joiner takes, in one run and in as many as there is room for;
 * `says` joins each of them and compares it with the run split slowly. */
static void test_runs_are_joined_as_they_were_scanned(void)
{
    SAYS("data: a\n\ndata: \n\ndata:  c\n\n", "0[a|| c]R[]");
    SAYS("data:a\r\n\r\ndata:\r\n\r\ndata:c\r\n\r\n", "3[a||c]R[]");
    SAYS("data: a\n\ndata: b\n\ndata:c\n\ndata:d\r\n\r\ndata: e\r\n\r\n",
         "0[a|b]1[c]3[d]2[e]R[]");
}

/* All runs of up to five events of these data, in each spelling. */
static const struct {
    const char *text;
    size_t len;
} DATAS[] = {{BYTES("")}, {BYTES("a")}, {BYTES("\0")}, {BYTES("data: ")},
             {BYTES("{\"choices\":[{\"delta\":{\"content\":\" the\"}}]}")}};

static int every_run_is_joined(struct text *run, struct text *lines, int kind, int more)
{
    size_t run_len = run->len, lines_len = lines->len, i;
    int alike = 1;

    for (i = 0; i < LEN(DATAS); i++) {
        put(run, DATAS[i].text, DATAS[i].len);
        put(lines, DATAS[i].text, DATAS[i].len);
        alike &= says_joined(run->chars, run->len, kind, lines->chars, lines->len);
        if (more > 1) {
            put(run, SEPARATOR_OF[kind], strlen(SEPARATOR_OF[kind]));
            put(lines, "\n", 1);
            alike &= every_run_is_joined(run, lines, kind, more - 1);
        }
        run->len = run_len;
        lines->len = lines_len;
    }
    return alike;
}

static void test_every_short_run(void)
{
    struct text run = {0}, lines = {0};
    int kind;

    for (kind = SSE_RUN; kind < SSE_BLOCK; kind++)
        CHECK(every_run_is_joined(&run, &lines, kind, 5));
    free(run.chars);
    free(lines.chars);
}

/* Data of every length up to more than a vector's, and one event behind: in place, a line moves
 * over its own bytes. */
static void test_data_of_every_length(void)
{
    struct text run = {0}, lines = {0};
    size_t size, i;

    for (size = 0; size < 200; size++) {
        run.len = lines.len = 0;
        for (i = 0; i < size; i++)
            put(&run, &"0123456789abcdef!"[i % 17], 1);
        put(&lines, run.chars ? run.chars : "", run.len);
        put(&lines, "\nend", 4);
        put(&run, BYTES("\r\n\r\ndata: end"));
        CHECK(says_joined(run.chars, run.len, SSE_RUN + 2, lines.chars, lines.len));
    }
    free(run.chars);
    free(lines.chars);
}

int main(void)
{
    make_guarded_memory();
    test_plain_events_make_runs();
    test_a_run_goes_on_only_over_its_own_separator();
    test_a_cr_ends_a_line_at_once();
    test_a_crlf_cut_in_two_is_one_end();
    test_comments_are_nothing();
    test_other_events_come_as_blocks();
    test_retry_acts_by_itself();
    test_unknown_lines_come_if_wanted();
    test_empty_data();
    test_a_byte_order_mark_is_the_callers();
    test_nul_is_a_byte_like_any_other();
    test_nothing_in_nothing_out();
    test_it_stops_when_there_is_no_room();
    test_a_buffer_may_change_after_more();
    test_a_long_buffer_is_searched_once();
    test_a_block_may_be_as_large_as_the_limit();
    test_a_block_without_an_end_counts_too();
    test_what_came_before_a_large_block_is_given();
    test_the_verdict_does_not_depend_on_the_reads();
    test_every_short_stream();
    test_a_run_is_joined_one_a_line();
    test_data_is_joined_as_it_is();
    test_empty_data_is_an_empty_line();
    test_runs_are_joined_as_they_were_scanned();
    test_every_short_run();
    test_data_of_every_length();
    return report_checks();
}
