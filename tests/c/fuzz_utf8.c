/* fuzz_utf8: whatever the bytes are and wherever they are cut, the answer is the table's.
 *
 * Goal: hold both functions against a slow twin that is short enough to be believed: the table of
 * well-formed UTF-8 tried row by row.  A difference aborts.
 *
 * Rules: every call gets its bytes in memory of exactly their size, so that a sanitizer (or a
 * guard page, see test_utf8.c, which includes this file for the twin) sees a byte read outside of
 * them.
 *
 * An input is the text.  libFuzzer calls LLVMFuzzerTestOneInput; see harness.h for -DSTANDALONE.
 */
#include "utf8.h"

#include "harness.h"

/* --- the model: Unicode 3.9, table 3-7, row by row --- */

static const struct {
    size_t len;
    unsigned char low[4], high[4];
} WELL_FORMED[] = {
    {1, {0x00}, {0x7F}},
    {2, {0xC2, 0x80}, {0xDF, 0xBF}},
    {3, {0xE0, 0xA0, 0x80}, {0xE0, 0xBF, 0xBF}},
    {3, {0xE1, 0x80, 0x80}, {0xEC, 0xBF, 0xBF}},
    {3, {0xED, 0x80, 0x80}, {0xED, 0x9F, 0xBF}},
    {3, {0xEE, 0x80, 0x80}, {0xEF, 0xBF, 0xBF}},
    {4, {0xF0, 0x90, 0x80, 0x80}, {0xF0, 0xBF, 0xBF, 0xBF}},
    {4, {0xF1, 0x80, 0x80, 0x80}, {0xF3, 0xBF, 0xBF, 0xBF}},
    {4, {0xF4, 0x80, 0x80, 0x80}, {0xF4, 0x8F, 0xBF, 0xBF}},
};

/* Bytes in the character that begins here, or in what counts as one: the longest beginning of a
 * character that is there (a maximal subpart), or else one byte. */
static size_t first_character(const char *text, size_t len, int *well_formed)
{
    size_t longest = 1, row;

    *well_formed = 0;
    for (row = 0; row < sizeof WELL_FORMED / sizeof *WELL_FORMED; row++) {
        size_t fit = 0;

        while (fit < len && fit < WELL_FORMED[row].len &&
               (unsigned char)text[fit] >= WELL_FORMED[row].low[fit] &&
               (unsigned char)text[fit] <= WELL_FORMED[row].high[fit])
            fit++;
        if (fit == WELL_FORMED[row].len)
            *well_formed = 1;
        if (fit > longest)
            longest = fit;
    }
    return longest;
}

/* Both functions, at every cut. */
static int utf8_alike(const char *text, size_t len, const struct memory *memory)
{
    char *placed = place(memory, text, len);
    size_t start = 0, most;
    int valid = 1, alike = utf8_truncate(placed, len, SIZE_MAX) == len;

    while (start < len) {
        int well_formed;
        size_t size = first_character(text + start, len - start, &well_formed);

        valid &= well_formed;
        for (most = start; most < start + size; most++)
            alike &= utf8_truncate(placed, len, most) == start;
        start += size;
    }
    for (most = len; most <= len + 1; most++)
        alike &= utf8_truncate(placed, len, most) == len;
    alike &= (utf8_valid(placed, len) != 0) == valid;
    memory->release(placed);
    if (!alike) {
        struct text shown = {0};
        put_piece(&shown, 'T', text, len);
        fprintf(stderr, "UTF-8 differs in %s\n", shown.chars);
        free(shown.chars);
    }
    return alike;
}

/* --- the target --- */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    MUST(utf8_alike((const char *)input, size, &EXACT_MEMORY));
    return 0;
}
