/* How it works
 *
 * One state for what the next byte has to be.  Only the bytes of a chunk are copied in one go;
 * between chunks there are half a dozen bytes, which are looked at one by one.
 *
 *     SIZE         a digit of the size          ─► BLANKS, EXTENSION, SIZE_END, line's end
 *     BLANKS       blanks after it              ─► EXTENSION, SIZE_END, line's end
 *     EXTENSION    anything up to the LF
 *     SIZE_END     the LF after a CR            ─► DATA, or TRAILER after the size 0
 *     DATA         bytes of the chunk           ─► BOUNDARY
 *     BOUNDARY     the line end after them      ─► BOUNDARY_END, SIZE
 *     BOUNDARY_END the LF after a CR            ─► SIZE
 *     TRAILER      the first byte of a trailer, or of the blank line that ends all
 *     LAST_END     the LF after a CR there      ─► the end, or IN_TRAILER
 *     IN_TRAILER   anything up to the LF        ─► TRAILER
 */
#include "http_chunks.h"

#include <string.h>

enum { SIZE, BLANKS, EXTENSION, SIZE_END, DATA, BOUNDARY, BOUNDARY_END, TRAILER, LAST_END,
       IN_TRAILER };

enum { MOST_DIGITS = 15 }; /* of a size: what 64 bits hold, and more than anybody sends */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Take one byte of a line between chunks; give the status that it leads to. */
static int take_byte(struct http_chunks *c, char byte)
{
    int digit;

    if (c->state == BOUNDARY || c->state == BOUNDARY_END) {
        if (byte == '\r' && c->state == BOUNDARY)
            c->state = BOUNDARY_END;
        else if (byte == '\n')
            c->state = SIZE;
        else
            return HTTP_CHUNKS_BOUNDARY;
        return HTTP_CHUNKS_MORE;
    }
    if (++c->line > HTTP_CHUNKS_LONGEST_LINE)
        return HTTP_CHUNKS_LINE;
    switch (c->state) {
    case SIZE:
        digit = digit_of(byte);
        if (digit >= 0) {
            c->left = c->left * 16 + (uint64_t)digit;
            return ++c->digits > MOST_DIGITS ? HTTP_CHUNKS_SIZE : HTTP_CHUNKS_MORE;
        }
        if (c->digits == 0)
            return HTTP_CHUNKS_SIZE;
        /* fall through */
    case BLANKS:
        if (byte == ' ' || byte == '\t')
            c->state = BLANKS;
        else if (byte == ';')
            c->state = EXTENSION;
        else if (byte == '\r')
            c->state = SIZE_END;
        else if (byte != '\n')
            return HTTP_CHUNKS_SIZE;
        break;
    case SIZE_END:
        if (byte != '\n')
            return HTTP_CHUNKS_SIZE;
        break;
    case TRAILER:
        if (byte == '\n')
            return HTTP_CHUNKS_END;
        c->state = byte == '\r' ? LAST_END : IN_TRAILER;
        return HTTP_CHUNKS_MORE;
    case LAST_END:
        if (byte == '\n')
            return HTTP_CHUNKS_END;
        c->state = IN_TRAILER;
        return HTTP_CHUNKS_MORE;
    case IN_TRAILER:
        if (byte == '\n') {
            c->state = TRAILER;
            c->line = 0;
            if (++c->trailers > HTTP_CHUNKS_MOST_TRAILERS)
                return HTTP_CHUNKS_TRAILERS;
        }
        return HTTP_CHUNKS_MORE;
    default: /* EXTENSION */
        break;
    }
    if (byte == '\n') { /* the size is known */
        c->state = c->left ? DATA : TRAILER;
        c->line = 0;
        c->digits = 0;
    }
    return HTTP_CHUNKS_MORE;
}

size_t http_dechunk(struct http_chunks *c, const char *in, size_t len, char *out)
{
    size_t position = 0, written = 0;

    while (position < len && c->status == HTTP_CHUNKS_MORE) {
        if (c->state == DATA) {
            size_t size = len - position;

            if (size > c->left)
                size = (size_t)c->left;
            memmove(out + written, in + position, size);
            written += size;
            position += size;
            c->left -= size;
            if (c->left == 0)
                c->state = BOUNDARY;
        } else {
            c->status = take_byte(c, in[position++]);
        }
    }
    c->consumed = position;
    if (c->status == HTTP_CHUNKS_END && position < len)
        c->surplus = 1;
    return written;
}
