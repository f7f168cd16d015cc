/* callgrind_sse_lines: scan plain events from memory, for an instruction count.
 *
 * Goal: one number that does not depend on the machine's mood: how many instructions the scanner
 * spends on a byte.  Time is the benchmarks' business.
 *
 * Rules: made for `valgrind --tool=callgrind --toggle-collect=sse_scan`, so that making the
 * events is not counted; prints nothing; one call for the whole buffer and one run in it, which
 * is the case that has to be fast.  A status other than 0 says that it was something else.
 *
 *     callgrind_sse_lines SIZE COUNT     COUNT events of SIZE bytes each, the blank line included
 */
#include "sse_lines.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char FIELD[] = "data: ", END[] = "\n\n";
    struct sse_scanner scanner = {.limit = 64 << 20};
    struct sse_span spans[2]; /* a run goes on only while there is room for one more */
    size_t size = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    size_t i;
    char *buf;

    if (size < 8 || count == 0 || count > ((size_t)64 << 20) / size)
        return 2;
    buf = malloc(size * count);
    if (buf == NULL)
        return 2;
    memset(buf, 'x', size * count);
    for (i = 0; i < count; i++) {
        memcpy(buf + i * size, FIELD, sizeof FIELD - 1);
        memcpy(buf + (i + 1) * size - 2, END, sizeof END - 1);
    }
    if (sse_scan(&scanner, buf, size * count, spans, 2) != SSE_OK)
        return 1;
    free(buf);
    return scanner.consumed != size * count || spans[0].end != size * count - 2;
}
