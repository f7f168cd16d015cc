/* socket_texts: receive what comes next of an answer, and take the texts out of it, in one call.
 *
 * An event that comes alone costs more in calls than in anything that they do.  Where one knows what
 * the events of an answer are like (alike_events), the way from its socket to a text is one call:
 * wait and receive (socket_read), take it out of HTTP's chunks (http_chunks), compare.  And for
 * whoever reads many answers in one thread the call is one for all of them: wait for an epoll, then
 * receive from every socket that is ready.
 *
 * It is all or nothing: texts are given if what came is whole events that are alike, and the body
 * goes on.  If not, what came is left in the block, for whoever takes it apart otherwise.
 */
#ifndef SOCKET_TEXTS_H
#define SOCKET_TEXTS_H

#include "alike_events.h"
#include "socket_read.h"

enum {
#ifdef __linux__
    SOCKETS_TEXTS_WORKS = 1
#else
    SOCKETS_TEXTS_WORKS = 0 /* there is no epoll: every call fails with ENOSYS */
#endif
};

/* The way of one answer. */
struct socket_texts {
    int fd;
    struct http_chunks *chunks; /* NULL if the body is in none */
    struct alike_events *alike; /* what its events are like */
    char *block;                /* out: what was received of the body */
    ptrdiff_t count;            /* out: how many bytes; or why none, as socket_read() says */
    const char *texts;          /* out: behind these, the texts */
    ptrdiff_t ahead;            /* out: what sockets_texts() has found and nobody has taken yet: how
                                   many bytes the texts have, -1 for anything else; 0 if nothing */
    size_t bytes, events;       /* out: how many had texts so far, together */
};

/* What many of them are read with. */
struct sockets_texts {
    int epoll;                  /* waits for each by its descriptor */
    struct socket_texts **ways; /* by descriptor: NULL where somebody else reads */
    size_t ways_len;
    char *room;
    size_t size;
    int *ready; /* out: which descriptors are readable, in order */
    size_t most;
};

/* Do what socket_read() does, to `block`, which has room for twice `size` bytes; then find the texts.
 * Returns how many bytes they have. */
size_t socket_texts(struct socket_texts *way, double seconds, char *block, size_t size);

/* Do the same with `len` bytes at `in` that were received otherwise; `block` has room for twice as
 * many. */
size_t received_texts(struct socket_texts *way, const char *in, size_t len, char *block);

/* Wait for `seconds` at the most, or not at all if they are 0 or less, until something is readable.
 * Then do the same for all of those that have a way and nothing ahead: in turn, without waiting, and
 * as far as there is room for it.
 *
 * Returns how many are readable, `most` of them at the most; none, too, where a signal came; or the
 * negative errno of what failed. */
ptrdiff_t sockets_texts(struct sockets_texts *all, double seconds);

#endif
