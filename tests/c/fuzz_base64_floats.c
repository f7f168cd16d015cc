/* fuzz_base64_floats: whatever the text is, the answer is that of a slow reading of RFC 4648.
 *
 * Goal: hold both functions against a slow twin that is short enough to be believed: characters
 * looked up one by one, bits gathered one by one, numbers told by the C library.  A difference
 * aborts.
 *
 * Rules: every call gets its text, and room for its numbers, in memory of exactly their size, so
 * that a sanitizer (or a guard page, see test_base64_floats.c, which includes this file for the
 * twin) sees a byte read or written outside of them.
 *
 * An input is the text.  libFuzzer calls LLVMFuzzerTestOneInput; see harness.h for -DSTANDALONE.
 */
#include "base64_floats.h"

#include "harness.h"

#include <math.h>

/* --- the model --- */

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The bytes of a text, in `bytes`, which has room for them; -1 if it is no base64. */
static ptrdiff_t decoded(const char *text, size_t len, unsigned char *bytes)
{
    size_t i, bits = 0, pads = 0, size;
    uint32_t gathered = 0;

    for (i = 0; i < len; i++) {
        const char *found = text[i] ? strchr(ALPHABET, text[i]) : NULL;

        if (text[i] == '=' && i + 2 >= len) {
            pads++;
            continue;
        }
        if (found == NULL || pads > 0)
            return -1;
        gathered = gathered << 6 | (uint32_t)(found - ALPHABET);
        bits += 6;
        if (bits % 24 == 18 || bits % 24 == 12 || bits % 24 == 0) {
            size = bits / 8;
            bytes[size - 1] = (unsigned char)(gathered >> (bits - 8 * size));
        }
    }
    return len % 4 ? -1 : (ptrdiff_t)(len / 4 * 3 - pads);
}

static float number_of(const unsigned char *bytes)
{
    uint32_t bits = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                    (uint32_t)bytes[3] << 24;
    float number;

    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Both functions, with room for as many numbers as the text has, and for one more or less. */
static int floats_alike(const char *text, size_t len, const struct memory *memory)
{
    unsigned char *bytes = malloc(len + 1);
    ptrdiff_t size = decoded(text, len, bytes);
    size_t wanted = size < 0 || size % 4 ? 0 : (size_t)size / 4, count, i;
    char *placed = place(memory, text, len);
    int alike = 1, good = wanted > 0;

    for (i = 0; i < wanted; i++)
        good &= isfinite(number_of(bytes + 4 * i)) != 0;
    if (size >= 0)
        alike &= base64_floats_count(placed, len) == wanted;
    for (count = wanted ? wanted - 1 : 0; count <= wanted + 1; count++) {
        float *out = (float *)(void *)memory->take(count * sizeof *out);

        alike &= (base64_floats(placed, len, out, count) != 0) == (good && count == wanted);
        for (i = 0; good && count == wanted && i < count; i++)
            alike &= memcmp(&(float){number_of(bytes + 4 * i)}, out + i, sizeof *out) == 0;
        memory->release((char *)out);
    }
    memory->release(placed);
    free(bytes);
    if (!alike) {
        struct text shown = {0};
        put_piece(&shown, 'T', text, len);
        fprintf(stderr, "numbers differ in %s\n", shown.chars);
        free(shown.chars);
    }
    return alike;
}

/* --- the target --- */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    MUST(floats_alike((const char *)input, size, &EXACT_MEMORY));
    return 0;
}
