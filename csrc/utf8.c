/* How it works
 *
 * A character is told by its first byte: how many bytes follow, and between which bounds the second
 * one has to be; all later ones are 80 to BF.  A cut is inside of a character only if one of the
 * three bytes before it begins a character that the bytes up to and including the cut go on with.
 */
#include "utf8.h"

#include <stdint.h>
#include <string.h>

/* How many bytes the character has whose first byte this is (Unicode 3.9, table 3-7), and between
 * which bounds its second byte has to be; 0 if no character begins with it. */
static size_t character(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    *high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

size_t utf8_truncate(const char *text, size_t len, size_t most)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t start, back;

    if (most >= len)
        return len;
    /* Is the byte at `most`, which is there but cut off, inside a character that began before? */
    for (back = 1; back <= 3 && back <= most; back++) {
        unsigned char low, high;
        size_t size, i;

        start = most - back;
        if (bytes[start] >= 0x80 && bytes[start] <= 0xBF)
            continue; /* a character does not begin here: look further back */
        size = character(bytes[start], &low, &high);
        if (size <= back)
            return most;
        for (i = start + 1; i <= most; i++) {
            if (bytes[i] < low || bytes[i] > high)
                return most;
            low = 0x80;
            high = 0xBF;
        }
        return start;
    }
    return most;
}

int utf8_valid(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t i = 0;

    while (i < len) {
        unsigned char low, high;
        uint64_t eight;
        size_t size;

        while (len - i >= sizeof eight) { /* most text is ASCII: eight bytes at a time */
            memcpy(&eight, bytes + i, sizeof eight);
            if (eight & UINT64_C(0x8080808080808080))
                break;
            i += sizeof eight;
        }
        if (i == len)
            break;
        size = character(bytes[i], &low, &high);
        if (size == 0 || size > len - i)
            return 0;
        for (i++; size > 1; size--, i++) {
            if (bytes[i] < low || bytes[i] > high)
                return 0;
            low = 0x80;
            high = 0xBF;
        }
    }
    return 1;
}
