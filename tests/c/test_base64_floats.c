/* test_base64_floats: unit tests of vectors in base64.
 *
 * Goal: hold them against the twin for every length of the last step, and for every byte in every
 * place of a step; and against numbers written down.
 *
 * Rules: every buffer lies right before a page that may not be touched, and once more right after
 * one.  The twin lives in fuzz_base64_floats.c, which is included.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include "fuzz_base64_floats.c"

#include "checks.h"

static int alike_everywhere(const char *text, size_t len)
{
    size_t i;
    int alike = 1;

    for (i = 0; i < LEN(MEMORIES); i++)
        alike &= floats_alike(text, len, &MEMORIES[i]);
    return alike;
}

/* Steps of three numbers, and what is left behind them; padded as it has to be, and wrongly. */
static void test_lengths(void)
{
    char text[80];
    size_t len, pads;

    for (len = 0; len <= sizeof text; len++)
        for (pads = 0; pads <= 4 && pads <= len; pads++) {
            memset(text, 'z', len);
            memset(text + len - pads, '=', pads);
            CHECK(alike_everywhere(text, len));
        }
}

/* A byte that may be none of base64, or a part of an exponent, at each place. */
static void test_every_byte_everywhere(void)
{
    static const char *const TEXTS[] = {
        "AACAPwAAAMAAAFBA",             /* 1, -2, 3.25 */
        "AACAPwAAAMAAAFBAAAAAPw==",     /* and 0.5 */
        "AACAPwAAAMAAAFBAAAAAPwAAgL4=", /* and -0.25 */
    };
    char text[40];
    size_t i, place;
    int byte;

    for (i = 0; i < LEN(TEXTS); i++)
        for (place = 0; place < strlen(TEXTS[i]); place++)
            for (byte = 0; byte < 256; byte++) {
                memcpy(text, TEXTS[i], strlen(TEXTS[i]));
                text[place] = (char)byte;
                CHECK(alike_everywhere(text, strlen(TEXTS[i])));
            }
}

static void test_examples(void)
{
    float out[5];

    CHECK(base64_floats_count(BYTES("AACAPwAAAMAAAFBAAAAAPwAAgL4=")) == 5);
    CHECK(base64_floats(BYTES("AACAPwAAAMAAAFBAAAAAPwAAgL4="), out, 5));
    CHECK(out[0] == 1.0F && out[1] == -2.0F && out[2] == 3.25F && out[3] == 0.5F);
    CHECK(out[4] == -0.25F);
    CHECK(base64_floats(BYTES("AAAAAA=="), out, 1) && out[0] == 0.0F);
    CHECK(base64_floats(BYTES("//9/fw=="), out, 1));  /* the largest */
    CHECK(!base64_floats(BYTES("AADAfw=="), out, 1)); /* NaN */
    CHECK(!base64_floats(BYTES("AACAfw=="), out, 1)); /* infinity */
    CHECK(!base64_floats(BYTES("AACA/w=="), out, 1)); /* minus infinity */
    CHECK(!base64_floats(BYTES("AACA_w=="), out, 1)); /* RFC 4648, 5: of addresses, not of this */
    CHECK(!base64_floats(BYTES("AAAAAA"), out, 1));   /* no padding */
    CHECK(!base64_floats(BYTES("AAAAAAA="), out, 1)); /* five bytes */
    CHECK(!base64_floats(NULL, 0, out, 0) && base64_floats_count(NULL, 0) == 0);
}

int main(void)
{
    make_guarded_memory();
    test_lengths();
    test_every_byte_everywhere();
    test_examples();
    return report_checks();
}
