#include "socket_texts.h"

#include <errno.h>
#include <string.h>

/* Find the texts in what `way->count` tells of. */
static size_t found(struct socket_texts *way)
{
    struct alike_events *alike = way->alike;
    size_t len;

    way->written = 0;
    if (way->count <= 0 || (way->chunks != NULL && way->chunks->status != HTTP_CHUNKS_MORE))
        return 0;
    len = (size_t)way->count;
    way->texts = way->block + len;
    if (alike_texts(alike, way->block, len, way->block + len) > 0 && alike->consumed == len)
        way->written = alike->written;
    return way->written;
}

size_t socket_texts(struct socket_texts *way, double seconds, char *block, size_t size)
{
    way->block = block;
    way->count = socket_read(way->fd, seconds, way->chunks, block, size);
    return found(way);
}

size_t received_texts(struct socket_texts *way, const char *in, size_t len, char *block)
{
    way->block = block;
    if (way->chunks != NULL)
        len = http_dechunk(way->chunks, in, len, block);
    else
        memcpy(block, in, len);
    way->count = (ptrdiff_t)len;
    return found(way);
}

#ifndef __linux__

ptrdiff_t sockets_texts(int epoll, double seconds, struct socket_texts **ways, size_t ways_len,
                        int *ready, size_t most, char *room, size_t size)
{
    (void)epoll, (void)seconds, (void)ways, (void)ways_len;
    (void)ready, (void)most, (void)room, (void)size;
    return -ENOSYS;
}

#else

#include <sys/epoll.h>

enum {
    MOST = 256,       /* that are asked for at a time: the others have their turn in the next call */
    LONGEST = 1000,   /* seconds */
    SMALLEST = 4096,  /* bytes: less room is worth no system call */
    LARGEST = 1 << 16 /* bytes of one answer, however much room there is */
};

/* Give the bytes that one of `left` sockets may be received to, of so many for all of them. */
static size_t share(size_t room, size_t left)
{
    size_t size = room / 2 / left;

    if (size < SMALLEST)
        size = SMALLEST;
    return size < LARGEST ? size : LARGEST;
}

ptrdiff_t sockets_texts(int epoll, double seconds, struct socket_texts **ways, size_t ways_len,
                        int *ready, size_t most, char *room, size_t size)
{
    struct epoll_event events[MOST];
    int milliseconds = seconds <= 0 ? 0 : (int)((seconds < LONGEST ? seconds : LONGEST) * 1000) + 1;
    int count = epoll_wait(epoll, events, most < MOST ? (int)most : MOST, milliseconds);
    char *end = room + size;
    int i;

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (i = 0; i < count; i++) {
        int fd = ready[i] = events[i].data.fd;
        struct socket_texts *way = (size_t)fd < ways_len ? ways[fd] : NULL;
        size_t part = share((size_t)(end - room), (size_t)(count - i));

        if (way == NULL || way->is_ahead || (size_t)(end - room) < 2 * part)
            continue;
        socket_texts(way, 0, room, part);
        way->is_ahead = 1;
        if (way->count > 0)
            room += (size_t)way->count + way->written;
    }
    return count;
}

#endif
