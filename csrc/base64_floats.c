/* How it works
 *
 * Sixteen characters are twelve bytes are three numbers: that is a step.  Each character is looked up
 * in the table of its place among four, which holds its six bits where they belong in three
 * little-endian bytes; what is no character of base64 has a bit above these.  So a step has no
 * branch: mistakes are gathered, and told at the end.  Numbers are put together by shifts, whatever
 * order this machine has.
 *
 * A number is not finite if all eight bits of its exponent are set; one more then carries into the
 * sign's place.
 *
 * The numbers behind the last step are one of their own: the padding is looked at, and room for
 * three is filled up with A, which is six zero bits.
 */
#include "base64_floats.h"

#include <stdint.h>
#include <string.h>

#define NONE UINT32_C(0x01000000) /* no character of base64 */
#define EXPONENT UINT32_C(0x7F800000)
#define ONE_MORE UINT32_C(0x00800000)

/* A character's six bits, `v`, in the three bytes of four characters: by its place among them. */
#define FIRST(v) ((v) << 2)
#define SECOND(v) ((v) >> 4 | ((v) & 15) << 12)
#define THIRD(v) ((v) >> 2 << 8 | ((v) & 3) << 22)
#define FOURTH(v) ((v) << 16)

#define N NONE
#define N16 N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N
#define TABLE(F)                                                                                 \
    {                                                                                            \
        N16, N16,                                                                                \
        N, N, N, N, N, N, N, N, N, N, N, F(62), N, N, N, F(63),                                  \
        F(52), F(53), F(54), F(55), F(56), F(57), F(58), F(59), F(60), F(61), N, N, N, N, N, N,  \
        N, F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8), F(9), F(10), F(11), F(12),      \
        F(13), F(14), F(15), F(16), F(17), F(18), F(19), F(20), F(21), F(22), F(23), F(24),      \
        F(25), N, N, N, N, N,                                                                    \
        N, F(26), F(27), F(28), F(29), F(30), F(31), F(32), F(33), F(34), F(35), F(36), F(37),   \
        F(38), F(39), F(40), F(41), F(42), F(43), F(44), F(45), F(46), F(47), F(48), F(49),      \
        F(50), F(51), N, N, N, N, N,                                                             \
        N16, N16, N16, N16, N16, N16, N16, N16                                                   \
    }
static const uint32_t first[256] = TABLE(FIRST), second[256] = TABLE(SECOND),
                      third[256] = TABLE(THIRD), fourth[256] = TABLE(FOURTH);

enum { CHARS = 16, NUMBERS = 3, BYTES = 4 }; /* of a step; of a number */

struct doubts {
    uint32_t mistakes; /* NONE and more: something was no base64 */
    uint32_t infinite; /* the sign is set: a number was not finite */
};

static uint32_t three_bytes(const unsigned char *four)
{
    return first[four[0]] | second[four[1]] | third[four[2]] | fourth[four[3]];
}

static uint32_t carry(uint32_t number)
{
    return (number & EXPONENT) + ONE_MORE;
}

static void step(const unsigned char *text, unsigned char *out, struct doubts *doubts)
{
    uint32_t a = three_bytes(text), b = three_bytes(text + 4), c = three_bytes(text + 8),
             d = three_bytes(text + 12);
    uint32_t one = a | b << 24, two = b >> 8 | c << 16, three = c >> 16 | d << 8;

    doubts->mistakes |= a | b | c | d;
    doubts->infinite |= carry(one) | carry(two) | carry(three);
    memcpy(out, &one, BYTES); /* one by one: an array of them would have compilers shuffle it */
    memcpy(out + 4, &two, BYTES);
    memcpy(out + 8, &three, BYTES);
}

/* How many characters of padding the text ends with: two at the most. */
static size_t padding(const char *text, size_t len)
{
    size_t last = len > 0 && text[len - 1] == '=';

    return last + (last && len > 1 && text[len - 2] == '=');
}

size_t base64_floats_count(const char *text, size_t len)
{
    size_t bytes = len / 4 * 3 - (len < 4 ? 0 : padding(text, len));

    return len % 4 || bytes % BYTES ? 0 : bytes / BYTES;
}

int base64_floats(const char *text, size_t len, float *out, size_t count)
{
    const unsigned char *chars = (const unsigned char *)text;
    unsigned char *bytes = (unsigned char *)out;
    struct doubts doubts = {0, 0};
    size_t left = count;

    if (count == 0 || base64_floats_count(text, len) != count)
        return 0;
    for (; left >= NUMBERS; left -= NUMBERS, chars += CHARS, bytes += NUMBERS * BYTES)
        step(chars, bytes, &doubts);
    if (left > 0) {
        unsigned char rest[CHARS], numbers[NUMBERS * BYTES];

        memset(rest, 'A', sizeof rest);
        memcpy(rest, chars, left == 1 ? 6 : 11); /* what they have without padding */
        step(rest, numbers, &doubts);
        memcpy(bytes, numbers, left * BYTES);
    }
    return doubts.mistakes < NONE && doubts.infinite >> 31 == 0;
}
