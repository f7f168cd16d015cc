/* What no client can go below: a program that receives answers, and does not look at them.
 *
 *     receiver PORT MODEL STREAMS EVENTS
 *
 * It asks the upstream on this machine (see upstream.py) STREAMS times for MODEL, waits with epoll in
 * one thread, receives, and counts events by the empty lines that end them, until every answer has
 * ended.  Then it prints, as JSON, how many there were, and the CPU that they took, in microseconds:
 * from the first request to the last of EVENTS events, and from the moment when every answer had its
 * first event to that; and the time that went by from the first request on.
 *
 * It knows no HTTP: it takes for an answer's end what the upstream ends it with. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef READ
#define READ 65536 /* bytes of a read */
#endif
#define END "0\r\n\r\n"
#define KEPT (sizeof END - 2)
#define READY 256 /* descriptors that one wait tells of */

struct answer {
    int fd;
    int has_begun;
    char last[KEPT]; /* what was received before: an end may be in two reads */
};

static char data[KEPT + READ];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec +
           used.ru_stime.tv_usec;
}

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int ask(int port, const char *model)
{
    char body[512], request[1024];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int length = snprintf(body, sizeof body,
                          "{\"model\": \"%s\", \"stream\": true, "
                          "\"messages\": [{\"role\": \"user\", \"content\": \"x\"}]}",
                          model);
    length = snprintf(request, sizeof request,
                      "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
                      "Content-Length: %d\r\n\r\n%s",
                      length, body);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    if (send(fd, request, length, 0) != length)
        fail("send");
    return fd;
}

/* Receive what is there; add to the events how many ended in it.  Give whether the answer did. */
static int receive(struct answer *one, long *events)
{
    ssize_t got = recv(one->fd, data + KEPT, READ, 0);
    char *at, *end = data + KEPT + got;
    if (got <= 0)
        fail("recv");
    memcpy(data, one->last, KEPT);
    for (at = data + KEPT - 1; (at = memmem(at, end - at, "\n\n", 2)); at += 2)
        ++*events;
    memcpy(one->last, end - KEPT, KEPT);
    return memcmp(end - KEPT - 1, END, KEPT + 1) == 0;
}

int main(int count, char **words)
{
    struct epoll_event ready[READY];
    if (count != 5)
        return 2;
    int port = atoi(words[1]), streams = atoi(words[3]), poll = epoll_create1(0);
    long wanted = atol(words[4]), events = 0;
    int waiting = streams, open = streams;
    struct answer *answers = calloc(streams, sizeof *answers);
    double from_request = cpu_us(), begun = now_us(), from_first = from_request, end = 0, over = 0;
    for (int i = 0; i < streams; i++) {
        struct epoll_event on = {.events = EPOLLIN, .data.ptr = &answers[i]};
        answers[i].fd = ask(port, words[2]);
        if (epoll_ctl(poll, EPOLL_CTL_ADD, answers[i].fd, &on))
            fail("epoll_ctl");
    }
    while (open) {
        int number = epoll_wait(poll, ready, READY, -1);
        for (int i = 0; i < number; i++) {
            struct answer *one = ready[i].data.ptr;
            long before = events;
            if (receive(one, &events)) {
                close(one->fd);
                open--;
            }
            if (events > before && !one->has_begun) {
                one->has_begun = 1;
                if (--waiting == 0)
                    from_first = cpu_us();
            }
            if (before < wanted && events >= wanted) {
                end = cpu_us();
                over = now_us();
            }
        }
    }
    printf("{\"events\": %ld, \"from_request_us\": %.0f, \"from_first_us\": %.0f, "
           "\"wall_us\": %.0f}\n",
           events - streams, end - from_request, end - from_first, over - begun);
    return 0;
}
