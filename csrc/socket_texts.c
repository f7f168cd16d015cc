#include "socket_texts.h"

#include <string.h>

ptrdiff_t socket_texts(int fd, double seconds, struct http_chunks *chunks,
                       struct alike_events *alike, const char *held, size_t held_len, char *out,
                       size_t size)
{
    ptrdiff_t count = socket_read(fd, seconds, chunks, out + held_len, size - held_len);
    size_t len;

    alike->count = alike->consumed = alike->written = 0;
    if (count <= 0)
        return count;
    if (held_len > 0)
        memcpy(out, held, held_len);
    len = held_len + (size_t)count;
    alike_texts(alike, out, len, out + len);
    return count;
}
