/* How it works
 *
 * The byte is read anew at each call; nothing else is ordered by it, so no barrier is needed.
 */
#include "abort_flag.h"

bool abort_flag(void *flag)
{
    return *(volatile unsigned char *)flag != 0;
}
