/* callgrind_alike_events: take texts out of events that are alike, for an instruction count.
 *
 * Goal: one number that does not depend on the machine's mood: how many instructions an event
 * takes.  Time is the benchmarks' business.
 *
 * Rules: made for `valgrind --tool=callgrind --toggle-collect=alike_texts`, so that making the
 * events is not counted; prints nothing; one call for the whole buffer.  A status other than 0 says
 * that it was something else.
 *
 *     callgrind_alike_events SIZE COUNT     COUNT events of SIZE bytes each, an eighth of it text
 */
#include "alike_events.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char HEAD[] = "data: {\"delta\":\"";
    size_t size = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    size_t text = size / 8, head_len = sizeof HEAD - 1, i, written;
    struct alike_events alike;
    char *buf, *out;

    if (size < 32 || count == 0 || count > ((size_t)64 << 20) / size)
        return 2;
    buf = malloc(size * count);
    out = malloc(size * count);
    if (buf == NULL || out == NULL)
        return 2;
    memset(buf, 'x', size * count);
    for (i = 0; i < count; i++) {
        char *event = buf + i * size;

        memcpy(event, HEAD, head_len);
        event[head_len + text] = '"';
        memcpy(event + size - 2, "\n\n", 2);
    }
    memset(&alike, 0, sizeof alike);
    alike.head = HEAD;
    alike.head_len = head_len;
    alike.tail = buf + head_len + text;
    alike.tail_len = size - head_len - text;
    written = alike_texts(&alike, buf, size * count, out);
    free(buf);
    free(out);
    return written != (13 + text) * count + 1 || alike.consumed != size * count;
}
