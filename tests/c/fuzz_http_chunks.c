/* fuzz_http_chunks: whatever the bytes are and however they are read, the body is the same.
 *
 * Goal: hold the decoder against a slow twin that is short enough to be believed: a model that has
 * the whole stream, knows of no reads, and goes from line to line instead of from byte to byte.  It
 * says which bytes are the body, how that ended, and at which byte it was known.  A difference
 * aborts.
 *
 * Rules: every call gets its bytes in memory of exactly their size, and writes to memory of that
 * size, so that a sanitizer (or a guard page, see test_http_chunks.c, which includes this file for
 * the model and the feeding) sees a byte outside of them.  Answers are compared as text, so that a
 * failure can be read.  When all is over, more is fed: nothing comes of it.
 *
 * An input is three bytes that say how to feed, then the stream:
 *
 *     byte 0   bit 0: out is in; bit 1: an empty read after each read; bit 2: the later reads have
 *              1 to byte 2 bytes, as the die falls
 *     byte 1   bytes in the first read
 *     byte 2   bytes in each later read; 0 = all the rest in one
 *
 * A line may have thousands of bytes, which no fuzzer finds one by one.  So FF, a count and a byte
 * in the stream stand for that byte 64 times the count, or once if the count is 0.
 *
 * libFuzzer calls LLVMFuzzerTestOneInput; see harness.h for -DSTANDALONE.
 */
#include "http_chunks.h"

#include "harness.h"

struct feeding {
    size_t first, later; /* bytes in the first read and in each later one; 0 later = the rest */
    unsigned die;        /* not 0: the later reads have 1 to `later` bytes, as it falls */
    int empty_reads;     /* an empty read after each read */
    int in_place;        /* out is in */
};

/* What happened is told as D[body], how it ended, and how many bytes were not looked at: as in
 * D[hello]END+0, D[hello]MORE+0 for a body that is not at its end, D[]SIZE+3. */
static void put_verdict(struct text *told, const struct text *body, int status, size_t left)
{
    static const char *const STATUS[] = {"MORE", "END", "SIZE", "BOUNDARY", "LINE", "TRAILERS"};
    char verdict[40];

    MUST(status >= HTTP_CHUNKS_MORE && status <= HTTP_CHUNKS_TRAILERS);
    put_piece(told, 'D', body->chars, body->len);
    put(told, verdict, (size_t)snprintf(verdict, sizeof verdict, "%s+%zu", STATUS[status], left));
}

/* --- the model --- */

enum { NO_MISTAKE = -1 };

struct reading {
    const char *bytes;
    size_t len, at;
    int status;
};

/* The bytes up to the next LF, which is one of them, or up to the end. */
static size_t line_len(const struct reading *r)
{
    size_t size = 0;

    while (r->at + size < r->len)
        if (r->bytes[r->at + size++] == '\n')
            break;
    return size;
}

static size_t how_many_of(const char *set, const char *line, size_t len)
{
    size_t count = 0;

    while (count < len && memchr(set, line[count], strlen(set)))
        count++;
    return count;
}

/* Which byte of the line, or of its beginning if it has no LF yet, is not a line end's. */
static int mistake_in_line_end(const char *line, size_t len)
{
    if (len == 0 || line[0] == '\n')
        return NO_MISTAKE;
    if (line[0] != '\r')
        return 0;
    return len == 1 || line[1] == '\n' ? NO_MISTAKE : 1;
}

/* Likewise, which one cannot be in a line that gives a size. */
static int mistake_in_size(const char *line, size_t len, uint64_t *size)
{
    size_t digits = how_many_of("0123456789abcdefABCDEF", line, len), blanks;
    char number[16] = {0};
    int mistake;

    if (digits > 15)
        return 15;
    if (digits == 0)
        return len == 0 ? NO_MISTAKE : 0;
    memcpy(number, line, digits);
    *size = strtoull(number, NULL, 16);
    blanks = how_many_of(" \t", line + digits, len - digits);
    if (digits + blanks < len && line[digits + blanks] == ';')
        return NO_MISTAKE;
    mistake = mistake_in_line_end(line + digits + blanks, len - digits - blanks);
    return mistake == NO_MISTAKE ? NO_MISTAKE : (int)(digits + blanks) + mistake;
}

/* Go over a line with this mistake in it, of this kind.  Returns whether it was there, all of it,
 * and right. */
static int pass_line(struct reading *r, int mistake, int kind)
{
    size_t size = line_len(r);

    if (mistake != NO_MISTAKE && mistake < HTTP_CHUNKS_LONGEST_LINE) {
        r->at += (size_t)mistake + 1;
        r->status = kind;
        return 0;
    }
    if (size > HTTP_CHUNKS_LONGEST_LINE) {
        r->at += HTTP_CHUNKS_LONGEST_LINE + 1;
        r->status = HTTP_CHUNKS_LINE;
        return 0;
    }
    r->at += size;
    return size > 0 && r->bytes[r->at - 1] == '\n';
}

static void pass_trailers(struct reading *r)
{
    int trailers;

    for (trailers = 0; r->status == HTTP_CHUNKS_MORE; trailers++) {
        int is_last = mistake_in_line_end(r->bytes + r->at, line_len(r)) == NO_MISTAKE;

        if (!pass_line(r, NO_MISTAKE, HTTP_CHUNKS_LINE))
            return;
        if (is_last)
            r->status = HTTP_CHUNKS_END;
        else if (trailers == HTTP_CHUNKS_MOST_TRAILERS)
            r->status = HTTP_CHUNKS_TRAILERS;
    }
}

static void tell_model(const char *bytes, size_t len, struct text *told)
{
    struct reading r = {bytes, len, 0, HTTP_CHUNKS_MORE};
    struct text body = {0};

    for (;;) {
        uint64_t size = 0;
        int mistake = mistake_in_size(bytes + r.at, line_len(&r), &size);

        if (!pass_line(&r, mistake, HTTP_CHUNKS_SIZE))
            break;
        if (size == 0) {
            pass_trailers(&r);
            break;
        }
        if (size > len - r.at)
            size = len - r.at;
        put(&body, bytes + r.at, (size_t)size);
        r.at += (size_t)size;
        mistake = mistake_in_line_end(bytes + r.at, line_len(&r));
        if (!pass_line(&r, mistake, HTTP_CHUNKS_BOUNDARY))
            break;
    }
    put_verdict(told, &body, r.status, len - r.at);
    free(body.chars);
}

/* --- the decoder, fed as its manual says --- */

/* One call, from memory of the bytes' size to another such, or to the same. */
static void dechunk_once(struct http_chunks *c, const char *bytes, size_t len,
                         const struct feeding *how, const struct memory *memory,
                         struct text *body)
{
    char *in = place(memory, bytes, len);
    char *out = how->in_place ? in : memory->take(len);
    int before = c->status;
    size_t size;

    c->consumed = SIZE_MAX; /* it is only told, and never looked at */
    size = http_dechunk(c, in, len, out);
    MUST(c->consumed <= len && size <= c->consumed);
    if (before != HTTP_CHUNKS_MORE)
        MUST(c->status == before && c->consumed == 0 && size == 0);
    else if (c->status == HTTP_CHUNKS_MORE)
        MUST(c->consumed == len);
    if (c->status == HTTP_CHUNKS_END)
        MUST(c->surplus || c->consumed == len);
    else
        MUST(!c->surplus);
    put(body, out, size);
    if (!how->in_place) {
        MUST(len == 0 || memcmp(in, bytes, len) == 0);
        memory->release(out);
    }
    memory->release(in);
}

static size_t next_size(const struct feeding *how, size_t len, unsigned *die)
{
    if (how->later == 0)
        return len;
    if (how->die == 0)
        return how->later;
    *die = *die * 1103515245 + 12345;
    return 1 + (*die >> 16) % how->later;
}

static void tell_decoder(const char *bytes, size_t len, const struct feeding *how,
                         const struct memory *memory, struct text *told)
{
    struct http_chunks c = {0};
    struct text body = {0};
    size_t start = 0, size = how->first, looked_at = 0;
    unsigned die = how->die;

    do {
        if (size > len - start)
            size = len - start;
        dechunk_once(&c, bytes + start, size, how, memory, &body);
        looked_at += c.consumed;
        if (how->empty_reads)
            dechunk_once(&c, bytes + start, 0, how, memory, &body);
        start += size;
        size = next_size(how, len, &die);
    } while (start < len);
    if (c.status != HTTP_CHUNKS_MORE)
        dechunk_once(&c, bytes, len, how, memory, &body);
    put_verdict(told, &body, c.status, len - looked_at);
    free(body.chars);
}

static int decodes_alike(const char *bytes, size_t len, const struct feeding *how,
                         const struct memory *memory)
{
    struct text model = {0}, decoder = {0};
    int alike;

    tell_model(bytes, len, &model);
    tell_decoder(bytes, len, how, memory, &decoder);
    alike = strcmp(model.chars, decoder.chars) == 0;
    if (!alike)
        fprintf(stderr, "in place %d, reads %zu + %zu, die %u:\n%s is right\n%s\n", how->in_place,
                how->first, how->later, how->die, model.chars, decoder.chars);
    free(model.chars);
    free(decoder.chars);
    return alike;
}

/* --- the target --- */

enum {
    MOST_STREAM = HTTP_CHUNKS_LONGEST_LINE + 1024, /* bytes of a stream when it is written out */
    MOST_SINGLE = 1024                             /* and of one that is read byte by byte too */
};

static void write_out(struct text *stream, const char *bytes, size_t len)
{
    size_t i, count;

    put(stream, "", 0);
    for (i = 0; i < len; i++) {
        int repeated = (unsigned char)bytes[i] == 0xFF && len - i > 2;

        count = 1;
        if (repeated) {
            count = bytes[i + 1] ? 64 * (size_t)(unsigned char)bytes[i + 1] : 1;
            i += 2;
        }
        for (; count > 0 && stream->len < MOST_STREAM; count--)
            put(stream, bytes + i, 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct feeding how = {0};
    struct text stream = {0};

    if (size < 3)
        return 0;
    write_out(&stream, (const char *)input + 3, size - 3);
    how.in_place = input[0] & 1;
    how.empty_reads = input[0] >> 1 & 1;
    how.first = input[1];
    how.later = input[2];
    how.die = input[0] & 4 ? 1u + input[1] : 0;
    MUST(decodes_alike(stream.chars, stream.len, &how, &EXACT_MEMORY));
    how.in_place = !how.in_place;
    how.first = stream.len; /* and in one read */
    MUST(decodes_alike(stream.chars, stream.len, &how, &EXACT_MEMORY));
    how.first = how.later = 1; /* and byte by byte */
    how.die = 0;
    if (stream.len <= MOST_SINGLE)
        MUST(decodes_alike(stream.chars, stream.len, &how, &EXACT_MEMORY));
    free(stream.chars);
    return 0;
}
