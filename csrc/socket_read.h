/* socket_read: wait for what comes in on a socket, receive it, and take it out of HTTP's chunks.
 *
 * In a program with many threads a token that comes alone costs more in handing the interpreter's
 * lock to and fro than in all else.  CPython lets go of it twice to read with a timeout, once to
 * wait and once to receive.  Here a read is one call, which needs the lock at no place.
 *
 * A signal ends the call: its caller lets the handlers run, looks at the clock, and calls again.  So
 * no storm of signals outlasts a deadline.  (With SO_RCVTIMEO instead of poll() the time would begin
 * anew with every signal; it saves a system call, which could not be measured.)
 *
 * POSIX.1-2008, poll() and recv().  On Windows there is nothing here: see SOCKET_READ_WORKS.
 */
#ifndef SOCKET_READ_H
#define SOCKET_READ_H

#include "http_chunks.h"

enum {
#ifdef _WIN32
    SOCKET_READ_WORKS = 0 /* every call fails with ENOSYS */
#else
    SOCKET_READ_WORKS = 1
#endif
};

/* Wait for `seconds` at the most, or not at all if they are 0 or less, until something has come.
 * Write it to `out`, which has room for `size` bytes; with `chunks`, those bytes of it that are the
 * body's.
 *
 * Returns how many bytes were written; 0 when the peer has ended, or `chunks->status` is no longer
 * HTTP_CHUNKS_MORE; -EAGAIN when there is nothing yet, because time is up, a signal came, or framing
 * and nothing else; otherwise the negative errno of what failed.  `chunks->consumed` tells how much
 * of what was received was looked at, framing included: 0 if nothing was. */
ptrdiff_t socket_read(int fd, double seconds, struct http_chunks *chunks, char *out, size_t size);

#endif
