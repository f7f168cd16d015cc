/* abort_flag: tells a computation of somebody else's, in C, whether it is still wanted.
 *
 * ggml asks such a function before every node of its graph, a hundred times a token, on a thread of
 * its own.  One in Python would wait for the interpreter's lock each time; this one reads a byte.
 *
 * Rules of the house: no allocation, no globals, nothing kept; lengths, never terminators.
 */
#ifndef ABORT_FLAG_H
#define ABORT_FLAG_H

#include <stdbool.h>

/* Whether the byte at `flag` is set: ggml.h's `ggml_abort_callback`.  The byte is written by another
 * thread, once, from 0 to 1, and has to be there for as long as anybody may ask. */
bool abort_flag(void *flag);

#endif
