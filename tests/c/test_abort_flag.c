/* test_abort_flag: unit tests of the flag that ends a computation.
 *
 * Goal: one byte is read, whatever it holds, and nothing beside it.
 */
#define _DEFAULT_SOURCE /* for MAP_ANONYMOUS */

#include "abort_flag.h"

#include "checks.h"

int main(void)
{
    size_t i;
    int value;

    make_guarded_memory();
    for (i = 0; i < LEN(MEMORIES); i++) {
        unsigned char *flag = (unsigned char *)MEMORIES[i].take(1);

        for (value = 0; value < 256; value++) {
            *flag = (unsigned char)value;
            CHECK(abort_flag(flag) == (value != 0));
        }
        MEMORIES[i].release((char *)flag);
    }
    return report_checks();
}
