/* A small allocator: blocks of fixed classes of size, each class with a list of what has been freed.
 *
 * It never gives memory back to the kernel: a command lives for milliseconds.  All that it knows stands in
 * variables of this file, which are part of a dump (native/layout.ld).  Where the region is full, and for blocks
 * larger than any class, memory comes from mmap(2) or the C library's malloc(3); the address tells which.
 *
 * Only what is needed of the region is mapped, as limits (RLIMIT_AS, RLIMIT_DATA, vm.overcommit_memory) count what is mapped.
 * Nothing else comes to lie in the rest: the heap of the C library begins above (native/build.py).
 */
#define _GNU_SOURCE
#include "region.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HEADER 16UL /* holds the class, and keeps blocks aligned as malloc's are */
#define FINE_MAX 1024UL /* up to here classes are 16 bytes apart, above it four to each doubling */
#define FINE_CLASSES (FINE_MAX / 16 + 1)
#define STEPS 4UL
#define DOUBLINGS 14UL /* up to 16 MiB */
#define CLASSES (FINE_CLASSES + STEPS * DOUBLINGS)
#define ARENA_ALIGN (16UL << 10) /* a pool of obmalloc's, so that none of an arena is lost */

struct block {
    struct block *next;
};

static char *top = (char *)REGION_BASE;
static unsigned long mapped = REGION_BASE; /* the end of what is mapped */
static size_t from_elsewhere;              /* blocks that the region could not give */
static struct block *freed[CLASSES];
static struct block *freed_arenas;
static size_t arena_size;

/* Map the region up to END at the least. Returns 0, or -1 with errno. */
static int map_up_to(unsigned long end)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    unsigned long wanted = (end - mapped + REGION_GROWTH - 1) / REGION_GROWTH * REGION_GROWTH;
    unsigned long room = REGION_BASE + REGION_SIZE - mapped;
    size_t size = wanted < room ? wanted : room;
    void *got;

    if (end <= mapped)
        return 0;
    got = mmap((void *)mapped, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (got == MAP_FAILED)
        return -1;
    if (got != (void *)mapped) { /* a kernel before 4.17, and a place that is taken */
        munmap(got, size);
        errno = EEXIST;
        return -1;
    }
    mapped += size;
    return 0;
}

int region_map(void)
{
    return map_up_to(REGION_BASE + 1);
}

unsigned long region_seal(void)
{
    unsigned long end = ((unsigned long)top + REGION_PAGE - 1) & ~(REGION_PAGE - 1);

    mapped = end + REGION_GROWTH;
    return from_elsewhere == 0 && mapped <= REGION_BASE + REGION_SIZE ? end : 0;
}

static int inside(const void *address)
{
    unsigned long place = (unsigned long)address;

    return place >= REGION_BASE && place < REGION_BASE + REGION_SIZE;
}

/* Take SIZE fresh bytes, aligned to ALIGN, a power of two; NULL if there are none. */
static void *fresh(size_t size, size_t align)
{
    unsigned long start = ((unsigned long)top + align - 1) & ~(align - 1);

    if (size > REGION_SIZE || start + size > REGION_BASE + REGION_SIZE || map_up_to(start + size) < 0) {
        from_elsewhere++;
        return NULL;
    }
    top = (char *)(start + size);
    return (void *)start;
}

/* Return the class of blocks of SIZE bytes, header included, and in *ROUNDED how many each has; CLASSES: too large for any. */
static size_t class_of(size_t size, size_t *rounded)
{
    size_t base = FINE_MAX, doubling = 0, step;

    if (size <= FINE_MAX) {
        *rounded = (size + 15) & ~15UL;
        return *rounded / 16;
    }
    while (doubling < DOUBLINGS && size > base * 2) {
        base *= 2;
        doubling++;
    }
    if (doubling == DOUBLINGS)
        return CLASSES;
    step = (size - base + base / STEPS - 1) / (base / STEPS);
    *rounded = base + step * (base / STEPS);
    return FINE_CLASSES + doubling * STEPS + step - 1;
}

void *region_malloc(size_t size)
{
    size_t rounded, kind;
    struct block *found;
    char *start;

    if (size > PTRDIFF_MAX - HEADER) {
        errno = ENOMEM;
        return NULL;
    }
    if (size < sizeof(struct block))
        size = sizeof(struct block); /* room for the list of what is free */
    kind = class_of(size + HEADER, &rounded);
    if (kind == CLASSES) {
        from_elsewhere++;
        return malloc(size);
    }
    found = freed[kind];
    if (found != NULL) {
        freed[kind] = found->next;
        return found;
    }
    start = fresh(rounded, 16);
    if (start == NULL)
        return malloc(size);
    *(size_t *)start = kind;
    return start + HEADER;
}

/* Return how many bytes a block of class KIND has for its user. */
static size_t room(size_t kind)
{
    size_t base, step;

    if (kind < FINE_CLASSES)
        return kind * 16 - HEADER;
    base = FINE_MAX << ((kind - FINE_CLASSES) / STEPS);
    step = (kind - FINE_CLASSES) % STEPS + 1;
    return base + step * (base / STEPS) - HEADER;
}

static size_t *kind_of(void *block)
{
    return (size_t *)((char *)block - HEADER);
}

void *region_calloc(size_t count, size_t size)
{
    size_t total;
    void *made;

    if (__builtin_mul_overflow(count, size, &total)) {
        errno = ENOMEM;
        return NULL;
    }
    made = region_malloc(total);
    if (made != NULL)
        memset(made, 0, total);
    return made;
}

void *region_realloc(void *old, size_t size)
{
    size_t had;
    void *made;

    if (old == NULL)
        return region_malloc(size);
    if (!inside(old))
        return realloc(old, size);
    had = room(*kind_of(old));
    if (size <= had)
        return old;
    made = region_malloc(size);
    if (made != NULL) {
        memcpy(made, old, had);
        region_free(old);
    }
    return made;
}

void region_free(void *old)
{
    struct block *block = old;
    size_t kind;

    if (old == NULL)
        return;
    if (!inside(old)) {
        free(old);
        return;
    }
    kind = *kind_of(old);
    block->next = freed[kind];
    freed[kind] = block;
}

void *region_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    struct block *found = freed_arenas;
    void *made;

    if (fd != -1 || address != NULL)
        return mmap(address, length, protection, flags, fd, offset);
    if (found != NULL && length == arena_size) {
        freed_arenas = found->next;
        memset(found, 0, sizeof *found);
        return found;
    }
    made = fresh(length, ARENA_ALIGN);
    return made != NULL ? made : mmap(address, length, protection, flags, fd, offset);
}

int region_munmap(void *address, size_t length)
{
    struct block *block = address;

    if (!inside(address))
        return munmap(address, length);
    if (arena_size == 0)
        arena_size = length;
    if (length == arena_size) {
        block->next = freed_arenas;
        freed_arenas = block;
    }
    return 0;
}
