/* alike_events: take the texts out of events that are alike but for their text.
 *
 * The events of one answer are the same bytes again and again; only the piece of text in each is
 * new.  Whoever has read one of them and knows where its text is can tell the next ones by
 * comparing, which costs a tenth of parsing them.
 *
 *     data: {"choices":[{"delta":{"content":"Why"}}],"obfuscation":"x7Q"}
 *     head...................................text tail.................filler end
 *
 * Rules of the house: no allocation, no globals, nothing kept but what is in the caller's struct;
 * lengths, never terminators; every byte is looked at once.
 *
 * What it knows of JSON is what a string's body is (RFC 8259, 7): no quotation mark that no
 * backslash precedes, no control characters.  Whether its escapes and its UTF-8 are right is for
 * whoever decodes what comes out, and who does not believe in it may drop it: nothing is changed.
 */
#ifndef ALIKE_EVENTS_H
#define ALIKE_EVENTS_H

#include <stddef.h>

enum { ALIKE_LEAST = 14 }; /* bytes that head and tail have to have together */

/* The parts of an event, in their order.  The end is that of its blank line; without a filler,
 * letters and digits that hide how long the text is, all of that is in the tail. */
struct alike_events {
    const char *head; /* up to the quotation mark before the text */
    size_t head_len;
    const char *tail; /* from the quotation mark behind the text on */
    size_t tail_len;
    const char *end; /* what is behind a filler; none if there is no filler */
    size_t end_len;
    size_t count;    /* out: whole events at the beginning of the buffer that are alike */
    size_t consumed; /* out: bytes that these have */
    size_t written;  /* out: bytes of their texts */
};

/* Take the events at the beginning of the `len` bytes at `buf`, up to the first that is another or
 * is not whole, and write their texts to `out`, which has room for as many bytes, as JSON:
 *
 *     [{"delta":"Why"},{"delta":" not\n"}]
 *
 * Returns how many bytes were written: none if no event is alike.  An empty text is left out, but
 * its event counts. */
size_t alike_texts(struct alike_events *alike, const char *buf, size_t len, char *out);

#endif
