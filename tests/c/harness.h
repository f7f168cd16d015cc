/* harness: what the tests of every part need: memory of the exact size, text that grows, a main().
 *
 * Goal: the tests of a part hold nothing but the part: its twins, its feeding, what is expected.
 *
 * Rules: answers are told as text, escaped, so that a failure can be read; bytes for a call lie in
 * memory of exactly their size, which is taken and released like a stack.  All is `static inline`,
 * so that what one of the programs does not use is no warning there.
 *
 * With -DSTANDALONE there is a main() that runs LLVMFuzzerTestOneInput on each file it is given:
 * any compiler replays a corpus.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

#define MUST(condition)                                                                          \
    do {                                                                                         \
        if (!(condition)) {                                                                      \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                             \
        }                                                                                        \
    } while (0)

/* --- memory for the bytes of one call --- */

/* What was taken last is released first. */
struct memory {
    char *(*take)(size_t len);
    void (*release)(char *taken);
};

static inline char *place(const struct memory *memory, const char *bytes, size_t len)
{
    char *taken = memory->take(len);

    if (len > 0)
        memcpy(taken, bytes, len);
    return taken;
}

static inline char *take_exactly(size_t len)
{
    char *taken = malloc(len);

    MUST(taken != NULL || len == 0);
    return taken;
}

static inline void release_exactly(char *taken)
{
    free(taken);
}

static const struct memory EXACT_MEMORY = {take_exactly, release_exactly};

/* --- text --- */

/* Text that grows; zero it to begin, free(chars) to end. */
struct text {
    char *chars;
    size_t len, room;
};

static inline void put(struct text *text, const char *chars, size_t len)
{
    if (text->room - text->len <= len) {
        text->room = 2 * (text->room + len) + 64;
        text->chars = realloc(text->chars, text->room);
        MUST(text->chars != NULL);
    }
    if (len > 0)
        memcpy(text->chars + text->len, chars, len);
    text->len += len;
    text->chars[text->len] = '\0';
}

static inline void put_escaped(struct text *text, const char *bytes, size_t len)
{
    static const char SPECIAL[] = "\n\r[]|\\", LETTERS[] = "nr[]|\\", HEX[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < len; i++) {
        const char *special = memchr(SPECIAL, bytes[i], sizeof SPECIAL - 1);
        unsigned char byte = (unsigned char)bytes[i];
        char escape[4] = {'\\', 'x', HEX[byte >> 4], HEX[byte & 15]};

        if (special) {
            escape[1] = LETTERS[special - SPECIAL];
            put(text, escape, 2);
        } else if (byte < ' ' || byte > '~') {
            put(text, escape, 4);
        } else {
            put(text, bytes + i, 1);
        }
    }
}

/* A piece of what happened: what it is, and its bytes, as in E[data]. */
static inline void put_piece(struct text *text, char letter, const char *bytes, size_t len)
{
    put(text, &letter, 1);
    put(text, "[", 1);
    put_escaped(text, bytes, len);
    put(text, "]", 1);
}

/* --- replaying files --- */

#ifdef STANDALONE
static void run_file(const char *path)
{
    struct text input = {0};
    char part[4096];
    size_t got;
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        perror(path);
        exit(1);
    }
    fprintf(stderr, "%s\n", path); /* before it runs: the last one named is the one that failed */
    put(&input, "", 0);
    while ((got = fread(part, 1, sizeof part, file)) > 0)
        put(&input, part, got);
    MUST(!ferror(file));
    fclose(file);
    LLVMFuzzerTestOneInput((const uint8_t *)input.chars, input.len);
    free(input.chars);
}

int main(int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++)
        run_file(argv[i]);
    printf("%d inputs\n", argc - 1);
    return argc < 2; /* nothing given is a mistake, not a success */
}
#endif

#endif
