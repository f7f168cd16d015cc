/* callgrind_http_chunks: take a chunked body apart in memory, for an instruction count.
 *
 * Goal: one number that does not depend on the machine's mood: how many instructions the decoder
 * spends on a chunk.  Time is the benchmarks' business.
 *
 * Rules: made for `valgrind --tool=callgrind --toggle-collect=http_dechunk`, so that making the
 * chunks is not counted; prints nothing; one call for the whole body, and `out` apart, as the
 * package calls it.  A status other than 0 says that it was something else.
 *
 *     callgrind_http_chunks SIZE COUNT     COUNT chunks of SIZE bytes each, framing not included
 */
#include "http_chunks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char END[] = "\r\n", LAST[] = "0\r\n\r\n";
    struct http_chunks chunks = {0};
    size_t size = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    size_t begin_len, len, i, written;
    char begin[32], *in, *out, *end;

    if (size == 0 || count == 0 || count > ((size_t)64 << 20) / size)
        return 2;
    begin_len = (size_t)snprintf(begin, sizeof begin, "%zx\r\n", size);
    len = (begin_len + size + sizeof END - 1) * count + sizeof LAST - 1;
    end = in = malloc(len);
    out = malloc(len);
    if (in == NULL || out == NULL)
        return 2;
    memset(in, 'x', len);
    for (i = 0; i < count; i++) {
        memcpy(end, begin, begin_len);
        memcpy(end + begin_len + size, END, sizeof END - 1);
        end += begin_len + size + sizeof END - 1;
    }
    memcpy(end, LAST, sizeof LAST - 1);
    written = http_dechunk(&chunks, in, len, out);
    free(in);
    free(out);
    return chunks.status != HTTP_CHUNKS_END || chunks.consumed != len || written != size * count;
}
