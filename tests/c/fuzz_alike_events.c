/* fuzz_alike_events: whatever the parts and the bytes are, the texts are those that a slow twin takes.
 *
 * Goal: hold the function against a model that is short enough to be believed: it walks each event
 * byte by byte and never compares more than one.  A difference aborts, and so does another answer
 * to the first bytes of the same stream.
 *
 * Rules: every call gets its bytes, and the room for what it writes, in memory of exactly their
 * size, so that a sanitizer (or a guard page, see test_alike_events.c, which includes this file for
 * the twin) sees a byte read or written outside of them.
 *
 * An input is three bytes, how long head, tail and end are; these; and the stream, in which the
 * bytes 1, 2 and 3 stand for them.
 */
#include "alike_events.h"

#include "harness.h"

struct part {
    const char *bytes;
    size_t len;
};

struct parts {
    struct part head, tail, end;
};

/* --- the model --- */

/* Where the walk is behind this part; SIZE_MAX if the part is not here. */
static size_t behind(const char *bytes, size_t len, size_t i, struct part part)
{
    size_t k;

    for (k = 0; k < part.len; k++)
        if (i + k >= len || bytes[i + k] != part.bytes[k])
            return SIZE_MAX;
    return i + part.len;
}

static int is_filler(char c)
{
    static const char FILLER[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    return memchr(FILLER, c, sizeof FILLER - 1) != NULL;
}

/* Where the event at `i` ends, and where its text is; SIZE_MAX if it is not alike. */
static size_t walk(const char *bytes, size_t len, size_t i, const struct parts *parts,
                   struct part *text)
{
    int escaped = 0;

    i = behind(bytes, len, i, parts->head);
    if (i == SIZE_MAX)
        return i;
    text->bytes = bytes + i;
    for (; i < len && (escaped || bytes[i] != '"'); i++) {
        if ((unsigned char)bytes[i] < 0x20)
            return SIZE_MAX;
        escaped = !escaped && bytes[i] == '\\';
    }
    text->len = (size_t)(bytes + i - text->bytes);
    if (i == len)
        return SIZE_MAX;
    i = behind(bytes, len, i, parts->tail);
    if (i == SIZE_MAX || parts->end.len == 0)
        return i;
    while (i < len && is_filler(bytes[i]))
        i++;
    return behind(bytes, len, i, parts->end);
}

static void tell(struct text *told, size_t count, size_t consumed, const char *out, size_t len)
{
    char numbers[64];

    put(told, numbers, (size_t)sprintf(numbers, "%lu, %lu", (unsigned long)count,
                                       (unsigned long)consumed));
    put_piece(told, ' ', out, len);
}

static void tell_model(const char *bytes, size_t len, const struct parts *parts, struct text *told)
{
    struct text out = {0};
    struct part text;
    size_t i = 0, count = 0, next;

    put(&out, "", 0);
    if (parts->head.len + parts->tail.len >= ALIKE_LEAST)
        while ((next = walk(bytes, len, i, parts, &text)) != SIZE_MAX) {
            if (text.len > 0) {
                put(&out, out.len == 0 ? "[" : ",", 1);
                put(&out, "{\"delta\":\"", 10);
                put(&out, text.bytes, text.len);
                put(&out, "\"}", 2);
            }
            i = next;
            count++;
        }
    if (count > 0)
        put(&out, out.len == 0 ? "[]" : "]", out.len == 0 ? 2 : 1);
    tell(told, count, i, out.chars, out.len);
    free(out.chars);
}

/* --- the function --- */

static int alike_as_told(const char *bytes, size_t len, const struct parts *parts,
                         const struct memory *memory)
{
    struct text wanted = {0}, said = {0};
    struct alike_events alike = {parts->head.bytes, parts->head.len,   parts->tail.bytes,
                                 parts->tail.len,   parts->end.bytes, parts->end.len, 99, 99, 99};
    char *placed = place(memory, bytes, len), *out = memory->take(len);
    size_t written = alike_texts(&alike, placed, len, out);
    int same;

    MUST(written <= len && alike.consumed <= len && (written == 0) == (alike.count == 0));
    MUST(alike.written == written);
    tell(&said, alike.count, alike.consumed, out, written);
    tell_model(bytes, len, parts, &wanted);
    same = strcmp(said.chars, wanted.chars) == 0 && (len == 0 || memcmp(placed, bytes, len) == 0);
    if (!same)
        fprintf(stderr, "%s is right\n%s\n", wanted.chars, said.chars);
    memory->release(out);
    memory->release(placed);
    free(wanted.chars);
    free(said.chars);
    return same;
}

/* --- the target --- */

static struct part take_part(const uint8_t **input, size_t *size, size_t len)
{
    struct part part = {(const char *)*input, len < *size ? len : *size};

    *input += part.len;
    *size -= part.len;
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct text stream = {0};
    struct parts parts;
    size_t lens[3], i, len;

    for (i = 0; i < 3; i++)
        lens[i] = size > i ? input[i] : 0;
    input += size < 3 ? size : 3;
    size -= size < 3 ? size : 3;
    parts.head = take_part(&input, &size, lens[0]);
    parts.tail = take_part(&input, &size, lens[1]);
    parts.end = take_part(&input, &size, lens[2]);
    put(&stream, "", 0);
    for (i = 0; i < size && stream.len < 1 << 12; i++) {
        if (input[i] == 1)
            put(&stream, parts.head.bytes, parts.head.len);
        else if (input[i] == 2)
            put(&stream, parts.tail.bytes, parts.tail.len);
        else if (input[i] == 3)
            put(&stream, parts.end.bytes, parts.end.len);
        else
            put(&stream, (const char *)input + i, 1);
    }
    MUST(alike_as_told(stream.chars, stream.len, &parts, &EXACT_MEMORY));
    for (len = stream.len < 64 ? 0 : stream.len - 64; len < stream.len; len++)
        MUST(alike_as_told(stream.chars, len, &parts, &EXACT_MEMORY));
    free(stream.chars);
    return 0;
}
