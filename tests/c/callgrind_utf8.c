/* callgrind_utf8: cut a text, and look at all of it, for an instruction count.
 *
 * Goal: see that a cut costs the same however long the text is, and what a byte costs that is
 * looked at.
 *
 * Rules: as those of callgrind_sse_lines.c.
 *
 *     callgrind_utf8 SIZE COUNT     COUNT texts of SIZE bytes each, cut inside their last character
 */
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    static const char EURO[] = "\xE2\x82\xAC";
    size_t size = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
    size_t count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    size_t i;
    char *text;

    if (size < 8 || count == 0)
        return 2;
    text = malloc(size);
    if (text == NULL)
        return 2;
    memset(text, 'x', size);
    memcpy(text + size - 3, EURO, sizeof EURO - 1);
    for (i = 0; i < count; i++)
        if (utf8_truncate(text, size, size - 1) != size - 3 || !utf8_valid(text, size))
            return 1;
    free(text);
    return 0;
}
