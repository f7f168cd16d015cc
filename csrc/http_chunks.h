/* http_chunks: take the body of an HTTP answer out of its chunks, strictly.
 *
 * A stream of tokens is one small chunk for each token; many of them come in one read.  Here all of
 * a read is taken apart in one call.
 *
 * RFC 9112, 7.1 "Chunked Transfer Coding".  A size is 1 to 15 hexadecimal digits; blanks and an
 * extension may follow; a line ends with CRLF or LF; a chunk's bytes are followed by a line end and
 * by nothing else.  Trailers are skipped, and counted.
 *
 * Rules of the house: no allocation, no globals, nothing kept but what is in the caller's struct;
 * lengths, never terminators; every byte is looked at once, however the stream is cut into reads.
 *
 * How to feed it
 *
 *     struct http_chunks c = {0};
 *     for each read:
 *         size = http_dechunk(&c, buf, len, out)      `out` has room for len bytes
 *         the body goes on with out[0 .. size)
 *         if (c.status != HTTP_CHUNKS_MORE) it is over: look which of the others it is
 */
#ifndef HTTP_CHUNKS_H
#define HTTP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

enum {
    HTTP_CHUNKS_MORE = 0,     /* the body goes on */
    HTTP_CHUNKS_END = 1,      /* the last chunk and its trailers have come */
    HTTP_CHUNKS_SIZE = 2,     /* a size is no hexadecimal number */
    HTTP_CHUNKS_BOUNDARY = 3, /* a chunk does not end where its size says */
    HTTP_CHUNKS_LINE = 4,     /* a line between chunks is too long */
    HTTP_CHUNKS_TRAILERS = 5  /* there are too many trailers */
};

enum {
    HTTP_CHUNKS_LONGEST_LINE = 8192, /* bytes of a size with its extension, or of one trailer */
    HTTP_CHUNKS_MOST_TRAILERS = 100
};

/* Zero it before the first call, and leave it alone but for what is marked as out. */
struct http_chunks {
    int status;      /* out */
    size_t consumed; /* out: bytes of this call's buffer that were looked at: less than all of them
                        only at the end, when more came than the body, and after a mistake */
    int surplus;     /* out: whether anything came after the end, in any call */
    uint64_t left;   /* bytes of the chunk that are still to come */
    size_t line;     /* bytes of the line so far */
    int state;
    int digits;
    int trailers;
};

/* Take `len` bytes; write the body's bytes in them to `out`, which may be `in` itself.  Returns how
 * many there are.  What comes before a mistake is given; after one, and after the end, nothing. */
size_t http_dechunk(struct http_chunks *chunks, const char *in, size_t len, char *out);

#endif
