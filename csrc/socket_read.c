#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* for MSG_DONTWAIT, which POSIX has only since 2024 */
#endif
#include "socket_read.h"

#include <errno.h>

#ifdef _WIN32

ptrdiff_t socket_read(int fd, double seconds, struct http_chunks *chunks, char *out, size_t size)
{
    (void)fd, (void)seconds, (void)chunks, (void)out, (void)size;
    return -ENOSYS;
}

#else

#include <poll.h>
#include <sys/socket.h>
#include <sys/types.h>

enum { LONGEST = 1000 * 1000 }; /* seconds: what an int holds of milliseconds, and a long wait */

/* Give poll()'s milliseconds, rounded up, so that nobody asks again before time is up. */
static int milliseconds(double seconds)
{
    return seconds < LONGEST ? (int)(seconds * 1000) + 1 : LONGEST * 1000;
}

static ptrdiff_t failed(void)
{
    return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

ptrdiff_t socket_read(int fd, double seconds, struct http_chunks *chunks, char *out, size_t size)
{
    struct pollfd waited = {fd, POLLIN, 0};
    ssize_t received;
    size_t written;
    int ready;

    if (chunks != NULL)
        chunks->consumed = 0;
    if (fd < 0) /* poll() would wait for nothing */
        return -EBADF;
    ready = seconds > 0 ? poll(&waited, 1, milliseconds(seconds)) : 1; /* recv() tells as well */
    if (ready < 0)
        return failed();
    if (ready == 0)
        return -EAGAIN;
    received = recv(fd, out, size, MSG_DONTWAIT);
    if (received < 0)
        return failed();
    if (received == 0 || chunks == NULL)
        return received;
    written = http_dechunk(chunks, out, (size_t)received, out);
    if (written == 0 && chunks->status == HTTP_CHUNKS_MORE)
        return -EAGAIN;
    return (ptrdiff_t)written;
}

#endif
