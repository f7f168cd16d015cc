#include "socket_texts.h"

#include <errno.h>
#include <string.h>

/* Find the texts in what `way->count` tells of. */
static size_t found(struct socket_texts *way)
{
    struct alike_events *alike = way->alike;
    size_t len;

    if (way->count <= 0 || (way->chunks != NULL && way->chunks->status != HTTP_CHUNKS_MORE))
        return 0;
    len = (size_t)way->count;
    way->texts = way->block + len;
    if (alike_texts(alike, way->block, len, way->block + len) == 0 || alike->consumed != len)
        return 0;
    way->bytes += len;
    way->events += alike->count;
    return alike->written;
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

ptrdiff_t sockets_texts(struct sockets_texts *all, double seconds)
{
    (void)all, (void)seconds;
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

ptrdiff_t sockets_texts(struct sockets_texts *all, double seconds)
{
    struct epoll_event events[MOST];
    int milliseconds = seconds <= 0 ? 0 : (int)((seconds < LONGEST ? seconds : LONGEST) * 1000) + 1;
    int most = all->most < MOST ? (int)all->most : MOST;
    int count = epoll_wait(all->epoll, events, most, milliseconds);
    char *room = all->room, *end = room + all->size;
    int i;

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (i = 0; i < count; i++) {
        int fd = all->ready[i] = events[i].data.fd;
        struct socket_texts *way = (size_t)fd < all->ways_len ? all->ways[fd] : NULL;
        size_t part = share((size_t)(end - room), (size_t)(count - i)), written;

        if (way == NULL || way->ahead != 0 || (size_t)(end - room) < 2 * part)
            continue;
        written = socket_texts(way, 0, room, part);
        way->ahead = written > 0 ? (ptrdiff_t)written : -1;
        if (way->count > 0)
            room += (size_t)way->count + written;
    }
    return count;
}

#endif
