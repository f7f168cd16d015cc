/* fuzz_sse_lines: whatever the bytes are and however they are read, the answer is the same.
 *
 * Goal: hold the scanner and the joiner against slow twins that are short enough to be believed: a
 * model that walks the stream byte by byte, knows of no reads and never looks ahead, and a split
 * that compares the whole separator everywhere.  A difference aborts.
 *
 * Rules: every call gets its bytes in memory of exactly their size, so that a sanitizer (or a
 * guard page, see test_sse_lines.c, which includes this file for the twins and the feeding) sees
 * a byte read outside of them.  Answers are compared as text, so that a failure can be read.
 * Every run that the scanner gives is joined.
 *
 * An input is four bytes that say how to feed, then the stream:
 *
 *     byte 0   bits 0-3: room - 1; bit 4: keep_unknown; bit 5: an empty read after each read
 *     byte 1   limit of a block in bytes; 0 = none
 *     byte 2   bytes in the first read
 *     byte 3   bytes in each later read; 0 = all the rest in one
 *
 * libFuzzer calls LLVMFuzzerTestOneInput; see harness.h for -DSTANDALONE.
 */
#include "sse_lines.h"

#include "harness.h"

struct feeding {
    size_t limit, room;
    int keep_unknown;
    size_t first, later; /* bytes in the first read and in each later one; 0 later = the rest */
    int empty_reads;     /* an empty read after each read */
    int spelled;         /* tell runs as they are, not event by event: depends on the reads */
};

/* What happened is told as pieces: E[data of a plain event], B[block], L[line that acts by
 * itself], R[the rest without a blank line], or LARGE at the end; spelled, a run is its kind and
 * its events, as in 0[one|two]. */

/* --- the model of the scanner --- */

enum field { COMMENT, DATA, EVENT_OR_ID, RETRY, UNKNOWN };

static enum field field_of(const char *line, size_t len)
{
    static const struct {
        const char *name;
        enum field field;
    } FIELDS[] = {
        {"", COMMENT},       {"data", DATA},   {"event", EVENT_OR_ID},
        {"id", EVENT_OR_ID}, {"retry", RETRY},
    };
    size_t name_len = 0, i;

    while (name_len < len && line[name_len] != ':')
        name_len++;
    for (i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++)
        if (strlen(FIELDS[i].name) == name_len && memcmp(line, FIELDS[i].name, name_len) == 0)
            return FIELDS[i].field;
    return UNKNOWN;
}

static void tell_model(const char *bytes, size_t len, const struct feeding *how,
                       struct text *told)
{
    size_t block = 0, line = 0, data = 0, data_end = 0, i;
    size_t datas = 0, others = 0; /* lines of the block: `data:`; `event`, `id`, bare `data` */
    int after_cr = 0;

    for (i = 0; i < len; i++) {
        int ends = bytes[i] == '\n' || bytes[i] == '\r';

        if (bytes[i] == '\n' && after_cr) { /* the second half of a CRLF is not a line end */
            if (block == i)
                block = i + 1;
            line = i + 1;
        } else if (ends && line == i) { /* a blank line */
            if (datas == 1 && others == 0)
                put_piece(told, 'E', bytes + data, data_end - data);
            else if (datas + others > 0)
                put_piece(told, 'B', bytes + block, i - block);
            datas = others = 0;
            block = line = i + 1;
        } else if (ends) {
            enum field field = field_of(bytes + line, i - line);

            if (field == DATA && i - line > 4) {
                datas++;
                data = line + 5;
                data_end = i;
                if (data < i && bytes[data] == ' ')
                    data++;
            } else if (field == DATA || field == EVENT_OR_ID) {
                others++;
            } else if (field == RETRY || (field == UNKNOWN && how->keep_unknown)) {
                put_piece(told, 'L', bytes + line, i - line);
            }
            line = i + 1;
        }
        after_cr = bytes[i] == '\r';
        if (i + 1 - block > how->limit) {
            put(told, "LARGE", 5);
            return;
        }
    }
    put_piece(told, 'R', bytes + block, len - block);
}

/* --- the scanner, fed as its manual says --- */

static const char *const SEPARATOR_OF[] = {"\n\ndata: ", "\n\ndata:", "\r\n\r\ndata: ",
                                           "\r\n\r\ndata:"};

static size_t event_end(const char *run, size_t len, const char *separator)
{
    size_t separator_len = strlen(separator), i;

    for (i = 0; i + separator_len <= len; i++)
        if (memcmp(run + i, separator, separator_len) == 0)
            return i;
    return len;
}

/* sse_join says `want` of the run, and says it in place too; apart, it leaves the run as it is. */
static int joins(const char *run, size_t len, int kind, const char *want, size_t want_len,
                 const struct memory *memory)
{
    struct text said = {0}, wanted = {0};
    int in_place, alike = 1;

    put_piece(&wanted, 'J', want, want_len);
    for (in_place = 0; in_place <= 1; in_place++) {
        char *placed = place(memory, run, len);
        char *out = in_place ? placed : memory->take(len);
        size_t size = sse_join(placed, len, kind, out);

        MUST(size <= len);
        said.len = 0;
        put_piece(&said, 'J', out, size);
        alike &= strcmp(said.chars, wanted.chars) == 0;
        if (!in_place) {
            alike &= len == 0 || memcmp(placed, run, len) == 0;
            memory->release(out);
        }
        memory->release(placed);
        if (!alike)
            fprintf(stderr, "kind %d, in place %d:\n%s is right\n%s\n", kind, in_place,
                    wanted.chars, said.chars);
    }
    free(said.chars);
    free(wanted.chars);
    return alike;
}

/* Tell a run's events, found by splitting it slowly; joined, they are the same, one a line. */
static void put_run(struct text *told, const char *run, size_t len, int kind, int spelled,
                    const struct memory *memory)
{
    char begin[3] = {(char)('0' + kind), '[', '\0'};
    size_t size, separator_len = strlen(SEPARATOR_OF[kind]);
    const char *whole = run;
    size_t whole_len = len;
    struct text lines = {0};

    put(told, begin, spelled ? 2 : 0);
    for (;;) {
        size = event_end(run, len, SEPARATOR_OF[kind]);
        MUST(kind % 2 == 0 || size == 0 || run[0] != ' '); /* as the manual has it */
        if (spelled)
            put_escaped(told, run, size);
        else
            put_piece(told, 'E', run, size);
        put(&lines, run, size);
        if (size == len)
            break;
        put(&lines, "\n", 1);
        put(told, "|", spelled ? 1 : 0);
        run += size + separator_len;
        len -= size + separator_len;
    }
    put(told, "]", spelled ? 1 : 0);
    if (!joins(whole, whole_len, kind, lines.chars, lines.len, memory))
        put(told, "JOINED WRONG", 12);
    free(lines.chars);
}

static int spelling_of(const char *bytes, const struct sse_span *run)
{
    MUST(run->start > 0);
    return SSE_RUN + 2 * (bytes[run->end] == '\r') + (bytes[run->start - 1] == ':');
}

/* A run is as long as it can be: it takes in what follows it after its own separator. */
static int could_be_one(const char *bytes, const struct sse_span *one, const struct sse_span *next)
{
    size_t len;

    if (one->kind >= SSE_BLOCK || one->kind != next->kind)
        return 0;
    len = strlen(SEPARATOR_OF[one->kind]);
    return next->start - one->end == len &&
           memcmp(bytes + one->end, SEPARATOR_OF[one->kind], len) == 0;
}

static void put_spans(struct text *told, const char *bytes, const struct sse_scanner *s,
                      const struct sse_span *spans, int spelled, const struct memory *memory)
{
    size_t i;

    for (i = 0; i < s->count; i++) {
        const struct sse_span *span = &spans[i];
        const char *start = bytes + span->start;
        size_t len = span->end - span->start;

        MUST(span->start <= span->end);
        MUST(span->kind == SSE_LINE || span->end < s->consumed);
        MUST(i == 0 || !could_be_one(bytes, span - 1, span));
        if (span->kind == SSE_BLOCK) {
            put_piece(told, 'B', start, len);
        } else if (span->kind == SSE_LINE) {
            put_piece(told, 'L', start, len);
        } else {
            MUST(span->kind == spelling_of(bytes, span));
            put_run(told, start, len, span->kind, spelled, memory);
        }
    }
}

/* One call, with the bytes and the spans in memory of their size. */
static int scan_once(struct sse_scanner *s, const char *bytes, size_t len,
                     const struct feeding *how, const struct memory *memory, struct text *told)
{
    struct sse_span *spans = malloc(how->room * sizeof *spans);
    char *placed = place(memory, bytes, len);
    int code;

    MUST(spans != NULL);
    code = sse_scan(s, placed, len, spans, how->room);
    MUST(s->count <= how->room && s->consumed <= len);
    MUST(code != SSE_MORE || s->count == how->room);
    MUST(code != SSE_LARGE || len - s->consumed > how->limit);
    put_spans(told, placed, s, spans, how->spelled, memory);
    memory->release(placed);
    free(spans);
    return code;
}

static void tell_scanner(const char *bytes, size_t len, const struct feeding *how,
                         const struct memory *memory, struct text *told)
{
    struct sse_scanner s;
    size_t block = 0, end = 0, size = how->first; /* bytes[block .. end) are what the call sees */
    int code, empty;

    memset(&s, 0, sizeof s);
    s.limit = how->limit;
    s.keep_unknown = how->keep_unknown;
    do {
        end += size < len - end ? size : len - end;
        for (empty = 0; empty <= how->empty_reads; empty++) {
            do {
                code = scan_once(&s, bytes + block, end - block, how, memory, told);
                block += s.consumed;
            } while (code == SSE_MORE);
            if (code == SSE_LARGE) {
                put(told, "LARGE", 5);
                return;
            }
        }
        size = how->later ? how->later : len;
    } while (end < len);
    put_piece(told, 'R', bytes + block, len - block);
}

static int scans_alike(const char *bytes, size_t len, const struct feeding *how,
                       const struct memory *memory)
{
    struct text model = {0}, scanner = {0};
    int alike;

    tell_model(bytes, len, how, &model);
    tell_scanner(bytes, len, how, memory, &scanner);
    alike = strcmp(model.chars, scanner.chars) == 0;
    if (!alike)
        fprintf(stderr, "limit %zu, room %zu, keep_unknown %d, reads %zu + %zu:\n%s is right\n%s\n",
                how->limit, how->room, how->keep_unknown, how->first, how->later, model.chars,
                scanner.chars);
    free(model.chars);
    free(scanner.chars);
    return alike;
}

/* --- the target --- */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct feeding how = {0};
    const char *bytes;

    if (size < 4)
        return 0;
    bytes = (const char *)input + 4;
    size -= 4;
    how.room = 1 + (input[0] & 15);
    how.keep_unknown = input[0] >> 4 & 1;
    how.empty_reads = input[0] >> 5 & 1;
    how.limit = input[1] ? input[1] : SIZE_MAX;
    how.first = input[2];
    how.later = input[3];
    MUST(scans_alike(bytes, size, &how, &EXACT_MEMORY));
    how.first = size; /* and in one read */
    MUST(scans_alike(bytes, size, &how, &EXACT_MEMORY));
    return 0;
}
