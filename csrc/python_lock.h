/* python_lock: which calls of the C part let go of the interpreter's lock.
 *
 * cffi lets go of it around every call.  Where another thread waits for the lock that gives it away,
 * and getting it back takes milliseconds: beside two busy threads a stream's events came twice as
 * late, for calls of a microsecond each.  So a call that waits for somebody lets go of the lock, and
 * one that only computes keeps it.
 *
 * Included last, before what cffi writes, which uses these two names of Python's and no others.
 */
#ifndef PYTHON_LOCK_H
#define PYTHON_LOCK_H

#include "socket_texts.h"

static ptrdiff_t socket_read_unlocked(int fd, double seconds, struct http_chunks *chunks,
                                      char *out, size_t size)
{
    ptrdiff_t read;

#ifndef PYPY_VERSION /* which lets go of its own by itself */
    Py_BEGIN_ALLOW_THREADS
#endif
    read = socket_read(fd, seconds, chunks, out, size);
#ifndef PYPY_VERSION
    Py_END_ALLOW_THREADS
#endif
    return read;
}

static size_t socket_texts_unlocked(struct socket_texts *way, double seconds, char *block,
                                    size_t size)
{
    size_t written;

#ifndef PYPY_VERSION
    Py_BEGIN_ALLOW_THREADS
#endif
    written = socket_texts(way, seconds, block, size);
#ifndef PYPY_VERSION
    Py_END_ALLOW_THREADS
#endif
    return written;
}

static ptrdiff_t sockets_texts_unlocked(struct sockets_texts *all, double seconds)
{
    ptrdiff_t count;

#ifndef PYPY_VERSION
    Py_BEGIN_ALLOW_THREADS
#endif
    count = sockets_texts(all, seconds);
#ifndef PYPY_VERSION
    Py_END_ALLOW_THREADS
#endif
    return count;
}

#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

#endif
