/* callgrind_base64_floats: decode vectors, for an instruction count.
 *
 * Goal: see what a character costs.
 *
 * Rules: as those of callgrind_sse_lines.c.
 *
 *     callgrind_base64_floats SIZE COUNT     COUNT vectors in about SIZE characters each
 */
#include "base64_floats.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    size_t size = argc == 3 ? strtoul(argv[1], NULL, 10) / 16 * 16 : 0; /* whole steps */
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    size_t numbers = size / 16 * 3, i;
    char *text;
    float *out;

    if (size == 0 || count == 0)
        return 2;
    text = malloc(size);
    out = malloc(numbers * sizeof *out);
    if (text == NULL || out == NULL)
        return 2;
    memset(text, 'P', size);
    for (i = 0; i < count; i++)
        if (!base64_floats(text, size, out, numbers))
            return 1;
    free(text);
    free(out);
    return 0;
}
