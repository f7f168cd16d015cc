/* How it works
 *
 * The scanner walks from line end to line end with memchr.  Per line it decides what the line does
 * to the block; per blank line it decides what the block was.  `shape` is all that it remembers:
 *
 *     shape \ line   comment,   data:   data:   event, id,     blank line
 *                    unknown    first   again   bare `data`
 *     EMPTY          EMPTY      PLAIN   -       MIXED          nothing is dispatched
 *     PLAIN          PLAIN      -       MIXED   MIXED          a run: begun, or made longer
 *     MIXED          MIXED      MIXED   MIXED   MIXED          SSE_BLOCK
 *
 * A run is made longer when the bytes between its end and the new data are the run's separator:
 * comparing those few bytes says at once that both blocks are plain and spelled alike.
 *
 * The next CR is looked for once and remembered, over SSE_MORE too: a search at every call would
 * go to the end of a buffer without a CR each time, and the time would grow with its square.
 *
 * A CR ends its line at once, so that an event is never held back until the next byte comes; the
 * LF that may follow is swallowed when it is seen, in this read or the next (`after_cr`).
 */
#include "sse_lines.h"

#include <string.h>

enum { EMPTY = 0, PLAIN = 1, MIXED = 2 };

static const struct {
    const char *text;
    size_t len;
} SEPARATOR[4] = {
    {"\n\ndata: ", 8},
    {"\n\ndata:", 7},
    {"\r\n\r\ndata: ", 10},
    {"\r\n\r\ndata:", 9},
};

static int is_field(const char *line, size_t len, const char *name, size_t name_len)
{
    return len >= name_len && memcmp(line, name, name_len) == 0 &&
           (len == name_len || line[name_len] == ':');
}

/* What the line buf[line .. end), not a blank one, does to the block that begins at `block`.
 * Returns whether the line acts by itself and has to be given out. */
static int take_line(struct sse_scanner *s, const char *buf, size_t block, size_t line, size_t end)
{
    const char *text = buf + line;
    size_t len = end - line;

    if (len >= 5 && memcmp(text, "data:", 5) == 0) {
        if (s->shape == EMPTY) {
            s->shape = PLAIN;
            s->data = line + 5 + (len > 5 && text[5] == ' ') - block;
            s->data_end = end - block;
        } else {
            s->shape = MIXED;
        }
        return 0;
    }
    if (text[0] == ':')
        return 0;
    if (is_field(text, len, "data", 4) || is_field(text, len, "event", 5) ||
        is_field(text, len, "id", 2)) {
        s->shape = MIXED;
        return 0;
    }
    return s->keep_unknown || is_field(text, len, "retry", 5);
}

/* Give out the plain event with the data buf[start .. end), as part of the last span if it fits
 * there.  Returns how many spans there are then. */
static size_t add_to_run(const char *buf, size_t start, size_t end, struct sse_span *spans,
                         size_t count)
{
    int no_space = buf[start - 1] != ' ';
    int crlf = buf[end] == '\r';
    int kind = SSE_RUN + 2 * crlf + no_space;

    if (count > 0 && spans[count - 1].kind == kind) {
        struct sse_span *last = &spans[count - 1];
        if (last->end + SEPARATOR[kind].len == start &&
            memcmp(buf + last->end, SEPARATOR[kind].text, SEPARATOR[kind].len) == 0) {
            last->end = end;
            return count;
        }
    }
    spans[count].start = start;
    spans[count].end = end;
    spans[count].kind = kind;
    return count + 1;
}

int sse_scan(struct sse_scanner *s, const char *buf, size_t len, struct sse_span *spans,
             size_t room)
{
    size_t position = s->position;
    size_t line = s->line;
    size_t block = 0; /* where the block begins that has no blank line yet */
    size_t next_cr = s->next_cr; /* first CR from `position` on, or len; looked for when passed */
    size_t count = 0;
    int code = SSE_OK;

    if (next_cr > len || (next_cr < len && buf[next_cr] != '\r'))
        next_cr = 0; /* not the buffer that SSE_MORE was about: look for it */
    while (position < len) {
        const char *found;
        size_t end;

        if (s->after_cr) {
            s->after_cr = 0;
            if (buf[position] == '\n') {
                if (position == block) /* the CR was the blank line's: the block begins here */
                    block++;
                line = ++position;
                continue;
            }
        }
        if (next_cr <= position) {
            found = memchr(buf + position, '\r', len - position);
            next_cr = found ? (size_t)(found - buf) : len;
        }
        found = memchr(buf + position, '\n', next_cr - position);
        end = found ? (size_t)(found - buf) : next_cr;
        if (end == len) { /* the line has no end yet */
            position = len;
            break;
        }
        if (end - block > s->limit) {
            code = SSE_LARGE;
            break;
        }
        if (count == room) {
            code = SSE_MORE; /* position is still at this line: it is taken next time */
            break;
        }
        if (end > line) {
            if (take_line(s, buf, block, line, end)) {
                spans[count].start = line;
                spans[count].end = end;
                spans[count].kind = SSE_LINE;
                count++;
            }
        } else {
            if (s->shape == PLAIN) {
                count = add_to_run(buf, block + s->data, block + s->data_end, spans, count);
            } else if (s->shape == MIXED) {
                spans[count].start = block;
                spans[count].end = end;
                spans[count].kind = SSE_BLOCK;
                count++;
            }
            s->shape = EMPTY;
            block = end + 1;
        }
        s->after_cr = end == next_cr;
        position = line = end + 1;
    }
    if (code == SSE_OK && len - block > s->limit)
        code = SSE_LARGE;
    s->position = position - block;
    s->line = line - block;
    s->next_cr = next_cr > block ? next_cr - block : 0;
    s->count = count;
    s->consumed = block;
    return code;
}

size_t sse_join(const char *run, size_t len, int kind, char *out)
{
    size_t gap = SEPARATOR[kind].len;
    char line_end = SEPARATOR[kind].text[0];
    size_t position = 0, written = 0;

    for (;;) {
        const char *found = memchr(run + position, line_end, len - position);
        size_t end = found ? (size_t)(found - run) : len;

        memmove(out + written, run + position, end - position);
        written += end - position;
        if (found == NULL)
            return written;
        out[written++] = '\n';
        position = end + gap;
    }
}
