/* utf8: where characters end, and whether bytes are characters at all.
 *
 * The bytes that a server says back, cut for an error's message, have to end between characters.
 *
 * Unicode 3.9, table 3-7 "Well-Formed UTF-8 Byte Sequences".
 *
 * Rules of the house: no allocation, no globals, nothing kept; lengths, never terminators.
 */
#ifndef UTF8_H
#define UTF8_H

#include <stddef.h>

/* Cut text: the length of the longest prefix of `text` that has at most `most` bytes and does not
 * end inside a character (Unicode 3.9, maximal subparts: ill-formed bytes count as characters).
 * Looks at four bytes, however long the text is. */
size_t utf8_truncate(const char *text, size_t len, size_t most);

/* Whether the bytes are well-formed UTF-8. */
int utf8_valid(const char *text, size_t len);

#endif
