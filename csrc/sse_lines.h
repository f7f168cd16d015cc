/* sse_lines: find the events in a block of text/event-stream bytes, without copying one.
 *
 * The parts of an event stream that a decoder has to be fast at: where lines end (CRLF, LF, CR),
 * which are `data:` lines, where the blank line is that dispatches an event.  Fields other than
 * the plain ones are left to the caller, who gets the whole block.
 *
 * WHATWG HTML, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream".
 *
 * Rules of the house: no allocation, no globals, nothing kept but what is in the caller's struct;
 * lengths, never terminators (NUL is a byte like any other); offsets out, into the caller's own
 * buffer; every byte is looked at once, however the stream is cut into reads.
 *
 * How to feed it
 *
 *     struct sse_scanner s = {.limit = 64 << 20};
 *     for each read:
 *         buf = what was left over of the last read, then the new bytes
 *         do {
 *             code = sse_scan(&s, buf, len, spans, room);
 *             use spans[0 .. s.count)
 *             buf += s.consumed, len -= s.consumed
 *         } while (code == SSE_MORE);
 *         what is left over is buf[0 .. len): the block that has no blank line yet
 *
 * A byte order mark is the caller's: take it off before the first call.
 */
#ifndef SSE_LINES_H
#define SSE_LINES_H

#include <stddef.h>

/* What sse_scan() returns. */
enum {
    SSE_OK = 0,   /* all bytes were looked at */
    SSE_MORE = 1, /* `spans` is full: call again with what is left of the buffer */
    SSE_LARGE = 2 /* the block that begins at `consumed` is larger than `limit`: give up */
};

/* What a span is.
 *
 * A run is one or more whole events, each of them one `data:` line and nothing else, in the same
 * spelling and with nothing in between: the text from `start` to `end` split at the run's
 * separator gives the events' data.  The separators are the line end twice, then the field:
 *
 *     SSE_RUN       "\n\n"     "data: "
 *     SSE_RUN + 1   "\n\n"     "data:"     (and no data begins with a space)
 *     SSE_RUN + 2   "\r\n\r\n" "data: "
 *     SSE_RUN + 3   "\r\n\r\n" "data:"     (likewise)
 */
enum {
    SSE_RUN = 0,   /* to SSE_RUN + 3: plain events */
    SSE_BLOCK = 4, /* an event with other fields, without the blank line that ends it */
    SSE_LINE = 5   /* a line that acts by itself: `retry`, or unknown and wanted; no line end */
};

struct sse_span {
    size_t start, end; /* bytes [start, end) of the buffer of this call */
    int kind;
};

/* Zero it, set `limit`, and leave the rest alone.  All offsets are from the start of the block
 * that has no blank line yet, which is where the next call's buffer begins. */
struct sse_scanner {
    size_t limit;      /* bytes that a block may have, its blank line not counted */
    size_t count;      /* out: spans written by this call */
    size_t consumed;   /* out: bytes of the buffer that are done with */
    size_t position;   /* bytes looked at */
    size_t line;       /* where the unfinished line begins */
    size_t next_cr;    /* after SSE_MORE: the first CR not looked at yet, or the buffer's end */
    size_t data;       /* where the data of the block's one `data:` line begins */
    size_t data_end;   /* and ends */
    int shape;         /* what the block holds so far; see the table in sse_lines.c */
    int after_cr;      /* the last byte ended a line as a CR: an LF after it is part of that end */
    int keep_unknown;  /* give lines with unknown fields as SSE_LINE */
};

/* Look at `len` bytes at `buf`; write at most `room` (at least 1) spans.  A run may come as several
 * spans: it does not grow once `spans` is full. */
int sse_scan(struct sse_scanner *scanner, const char *buf, size_t len, struct sse_span *spans,
             size_t room);

/* Write the data of a run's events, one a line: data, LF, data, …, data.  `run` is the `len` bytes
 * of a span of this `kind`; `out` has room for as many, and may be `run` itself.  Returns how many
 * were written.  No data of a run has a line end in it. */
size_t sse_join(const char *run, size_t len, int kind, char *out);

#endif
