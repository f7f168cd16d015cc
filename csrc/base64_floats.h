/* base64_floats: take a vector out of base64, and look at every number on the way.
 *
 * A vector of embeddings comes as base64 of little-endian float32.  Decoded first, then copied, then
 * looked through for what is not finite, it is gone through three times; here once.
 *
 * RFC 4648, 4 "Base 64 Encoding", padded; IEEE 754, 3.4 "Binary interchange format encodings".
 *
 * Rules of the house: no allocation, no globals, nothing kept; lengths, never terminators.
 */
#ifndef BASE64_FLOATS_H
#define BASE64_FLOATS_H

#include <stddef.h>

/* How many numbers a text of this length has room for: `len / 4 * 3` bytes, less what `text` ends
 * with in padding, and 0 if that is not a whole number of them. */
size_t base64_floats_count(const char *text, size_t len);

/* Write the `count` numbers to `out`, in the order of this machine.  Returns whether the text is
 * base64 of just so many, and all of them are finite; if not, what `out` holds means nothing. */
int base64_floats(const char *text, size_t len, float *out, size_t count);

#endif
