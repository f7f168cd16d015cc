/* checks: what the unit tests of every part need: counted checks, and memory between guard pages.
 *
 * Goal: a byte read or written outside of a buffer ends the program, sanitizer or not.
 *
 * Rules: a buffer lies right before a page that may not be touched, and in another run right after
 * one; each buffer of a call has a room of its own, so that none is the other's neighbour.
 *
 * Define _DEFAULT_SOURCE before the first include, for MAP_ANONYMOUS.
 */
#ifndef CHECKS_H
#define CHECKS_H

#include "harness.h"

#include <sys/mman.h>
#include <unistd.h>

static int checks, failures;

#define CHECK(condition)                                                                         \
    do {                                                                                         \
        checks++;                                                                                \
        if (!(condition)) {                                                                      \
            failures++;                                                                          \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);              \
        }                                                                                        \
    } while (0)

#define BYTES(literal) literal, sizeof(literal) - 1 /* a NUL in it is a byte like any other */
#define LEN(array) (sizeof(array) / sizeof *(array))

static inline int report_checks(void)
{
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}

/* --- memory between two pages that may not be touched --- */

enum {
    INSIDE = 1 << 16, /* bytes in a room: a multiple of every page size */
    ROOMS_INSIDE = 4  /* bytes of a call, a run of them, and where that is joined: three at most */
};
static char *inside[ROOMS_INSIDE];
static size_t taken_inside;

static inline void make_guarded_memory(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = INSIDE + page, i;
    char *all = mmap(NULL, ROOMS_INSIDE * size + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);

    MUST(all != MAP_FAILED && INSIDE % page == 0);
    for (i = 0; i < ROOMS_INSIDE; i++) {
        inside[i] = all + page + i * size;
        MUST(mprotect(inside[i], INSIDE, PROT_READ | PROT_WRITE) == 0);
    }
}

/* Filled, so that what an earlier call wrote there is not taken for an answer. */
static inline char *take_inside(size_t start, size_t len)
{
    MUST(len <= INSIDE && taken_inside < ROOMS_INSIDE);
    return memset(inside[taken_inside++] + start, '#', len);
}

static inline char *take_before_guard(size_t len)
{
    return take_inside(INSIDE - len, len);
}

static inline char *take_after_guard(size_t len)
{
    return take_inside(0, len);
}

static inline void release_guarded(char *taken)
{
    MUST(taken_inside > 0);
    taken_inside--;
    MUST(taken >= inside[taken_inside] && taken <= inside[taken_inside] + INSIDE);
}

static const struct memory MEMORIES[] = {
    {take_before_guard, release_guarded},
    {take_after_guard, release_guarded},
};

#endif
