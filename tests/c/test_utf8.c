/* test_utf8: unit tests of the UTF-8 functions.
 *
 * Goal: hold them against the table for every short text that its bounds are made of.
 *
 * Rules: every buffer lies right before a page that may not be touched, and once more right after
 * one.  The table lives in fuzz_utf8.c, which is included.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include "fuzz_utf8.c"

#include "checks.h"

/* Each bound of table 3-7 with its neighbours. */
static const unsigned char ALPHABET[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                         0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC,
                                         0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF};

static int every_text_is_alike(char *text, size_t len, size_t most)
{
    int alike = 1;
    size_t i;

    for (i = 0; i < LEN(MEMORIES); i++)
        alike &= utf8_alike(text, len, &MEMORIES[i]);
    for (i = 0; len < most && i < sizeof ALPHABET; i++) {
        text[len] = (char)ALPHABET[i];
        alike &= every_text_is_alike(text, len + 1, most);
    }
    return alike;
}

static void test_it_is_as_in_the_table(void)
{
    char text[4];

    CHECK(every_text_is_alike(text, 0, sizeof text));
}

/* Eight ASCII bytes are taken at a time: what is not ASCII may stand anywhere among them. */
static void test_characters_among_ascii(void)
{
    static const char *const SAMPLES[] = {
        "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xC3",     "\xE2\x82",
        "\x80",     "\xF0\x9F\x98", "\xED\xA0\x80",     "\xC0\x80",
    };
    char text[32];
    size_t i, before, after;

    for (i = 0; i < LEN(SAMPLES); i++)
        for (before = 0; before <= 9; before++)
            for (after = 0; after <= 9; after++) {
                size_t size = strlen(SAMPLES[i]);

                memset(text, 'a', sizeof text);
                memcpy(text + before, SAMPLES[i], size);
                CHECK(utf8_alike(text, before + size + after, &MEMORIES[0]));
                CHECK(utf8_alike(text, before + size + after, &MEMORIES[1]));
            }
}

static void test_examples(void)
{
    static const char TEXT[] = "a\xE2\x82\xAC" "b"; /* an a, the euro sign, a b */

    CHECK(utf8_truncate(BYTES(TEXT), 0) == 0 && utf8_truncate(BYTES(TEXT), 1) == 1);
    CHECK(utf8_truncate(BYTES(TEXT), 2) == 1 && utf8_truncate(BYTES(TEXT), 3) == 1);
    CHECK(utf8_truncate(BYTES(TEXT), 4) == 4 && utf8_truncate(BYTES(TEXT), 99) == 5);
    CHECK(utf8_truncate(BYTES("\x80\x80\x80\x80\x80"), 4) == 4); /* each stands for itself */
    CHECK(utf8_truncate(BYTES("\xE2\x82" "b"), 1) == 0);         /* begun: one character */
    CHECK(utf8_truncate(BYTES("\xED\xA0\x80"), 1) == 1);         /* a surrogate: three */
    CHECK(utf8_truncate(NULL, 0, 0) == 0);
    CHECK(utf8_valid(BYTES(TEXT)) && utf8_valid(NULL, 0) && utf8_valid(BYTES("\0")));
    CHECK(!utf8_valid(BYTES("\xC0\x80")) && !utf8_valid(BYTES("\xED\xA0\x80")));
    CHECK(!utf8_valid(BYTES("\xF4\x90\x80\x80")) && !utf8_valid(BYTES("12345678\xE2\x82")));
}

int main(void)
{
    make_guarded_memory();
    test_it_is_as_in_the_table();
    test_characters_among_ascii();
    test_examples();
    return report_checks();
}
