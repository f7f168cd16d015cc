/* How it works
 *
 * Of each event the head is compared, the text walked through to its end, and the tail compared.
 * The walk takes eight bytes at a time where none of them is special.  It stops at what may not be
 * in a string, and so at every line end: no text reaches over the end of its event.
 *
 * What is written are 13 bytes and the text of each event, and one byte more for all of them, which
 * is less than was read of them (ALIKE_LEAST).
 */
#include "alike_events.h"

#include <stdint.h>
#include <string.h>

static const char BEFORE[] = "{\"delta\":\"", BEHIND[] = "\"},";

/* Whether any of eight bytes is a quotation mark, a backslash or a control character. */
static int has_special(uint64_t eight)
{
    const uint64_t each = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    uint64_t quotes = eight ^ (each * '"'), escapes = eight ^ (each * '\\'); /* 0 where one is */

    return (((quotes - each) & ~quotes & high) | ((escapes - each) & ~escapes & high) |
            ((eight - each * ' ') & ~eight & high)) != 0;
}

/* How long the body of a string is that begins here; `len` if its end is not there, or if it has
 * a control character before that. */
static size_t body_len(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len) {
        uint64_t eight;

        if (len - i >= sizeof eight) {
            memcpy(&eight, text + i, sizeof eight);
            if (!has_special(eight)) {
                i += sizeof eight;
                continue;
            }
        }
        if (text[i] == '"')
            return i;
        if (text[i] == '\\' && ++i == len) /* what is behind it does not end the string */
            break;
        if ((unsigned char)text[i] < ' ')
            break;
        i++;
    }
    return len;
}

/* How long the letters and digits are that are here. */
static size_t filler_len(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len && ((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'A' && text[i] <= 'Z') ||
                       (text[i] >= 'a' && text[i] <= 'z')))
        i++;
    return i;
}

static int begins_with(const char *buf, size_t len, const char *part, size_t part_len)
{
    return len >= part_len && memcmp(buf, part, part_len) == 0;
}

static char *put(char *out, const char *bytes, size_t len)
{
    memcpy(out, bytes, len);
    return out + len;
}

size_t alike_texts(struct alike_events *alike, const char *buf, size_t len, char *out)
{
    size_t position = 0;
    char *written = out;

    alike->count = alike->consumed = alike->written = 0;
    if (alike->head_len + alike->tail_len < ALIKE_LEAST)
        return 0;
    while (begins_with(buf + position, len - position, alike->head, alike->head_len)) {
        size_t text = position + alike->head_len;
        size_t size = body_len(buf + text, len - text);
        size_t next = text + size;

        if (next == len || !begins_with(buf + next, len - next, alike->tail, alike->tail_len))
            break;
        next += alike->tail_len;
        if (alike->end_len > 0) {
            next += filler_len(buf + next, len - next);
            if (!begins_with(buf + next, len - next, alike->end, alike->end_len))
                break;
            next += alike->end_len;
        }
        if (written == out)
            *written++ = '[';
        if (size > 0) {
            written = put(written, BEFORE, sizeof BEFORE - 1);
            written = put(written, buf + text, size);
            written = put(written, BEHIND, sizeof BEHIND - 1);
        }
        position = next;
        alike->count++;
    }
    alike->consumed = position;
    if (written == out)
        return 0;
    if (written - out == 1)
        written++;
    written[-1] = ']'; /* in the place of the last comma */
    return alike->written = (size_t)(written - out);
}
