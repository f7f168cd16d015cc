/* callgrind_sse_lines: scan plain events from memory and join them, for an instruction count.
 *
 * Goal: one number that does not depend on the machine's mood: how many instructions the scanner,
 * or the joiner, spends on an event.  Time is the benchmarks' business.
 *
 * Rules: made for `valgrind --tool=callgrind --toggle-collect=sse_scan` or `=sse_join`, so that
 * making the events is not counted; prints nothing; one call for the whole buffer and one run in
 * it, which is the case that has to be fast.  A status other than 0 says that it was something
 * else.
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
    size_t i, joined;
    char *buf, *lines;

    if (size < 8 || count == 0 || count > ((size_t)64 << 20) / size)
        return 2;
    buf = malloc(size * count);
    lines = malloc(size * count);
    if (buf == NULL || lines == NULL)
        return 2;
    memset(buf, 'x', size * count);
    for (i = 0; i < count; i++) {
        memcpy(buf + i * size, FIELD, sizeof FIELD - 1);
        memcpy(buf + (i + 1) * size - 2, END, sizeof END - 1);
    }
    if (sse_scan(&scanner, buf, size * count, spans, 2) != SSE_OK)
        return 1;
    if (scanner.consumed != size * count || spans[0].end != size * count - 2)
        return 1;
    joined = sse_join(buf + spans[0].start, spans[0].end - spans[0].start, spans[0].kind, lines);
    free(buf);
    free(lines);
    return joined != (size - 7) * count - 1; /* of each event its data, and LF between them */
}
