/* socket_texts: receive what comes next of a body, and take the texts out of its events, in one call.
 *
 * An event that comes alone costs more in calls than in anything that they do.  Where one knows what
 * the events of an answer are like (alike_events), its way from the socket to a text is this call:
 * wait and receive (socket_read), take it out of HTTP's chunks (http_chunks), compare.
 */
#ifndef SOCKET_TEXTS_H
#define SOCKET_TEXTS_H

#include "alike_events.h"
#include "socket_read.h"

/* Do what socket_read() does, behind the `held` bytes, the beginning of an event that came before;
 * then what alike_texts() does with all of these.
 *
 * `out` has room for twice `size` bytes, of which `held_len` are less than `size`.  It has then what
 * was held, what was received, and right behind both the texts, `alike->written` bytes of them.
 *
 * Returns what socket_read() returns: how many bytes were received of the body, or why none were;
 * then `alike->count` is 0. */
ptrdiff_t socket_texts(int fd, double seconds, struct http_chunks *chunks,
                       struct alike_events *alike, const char *held, size_t held_len, char *out,
                       size_t size);

#endif
