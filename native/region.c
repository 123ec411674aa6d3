/* A small allocator: blocks of fixed classes of size, each class with a list of what has been freed.
 *
 * A slab holds small blocks of one class, without a header: a table tells of which.  Larger ones have a header.
 * Memory is never given back to the kernel: a command lives for milliseconds.  All that this knows stands in
 * variables of this file, which are part of a dump (native/layout.ld).  Where the region is full, and for blocks
 * larger than any class, memory comes from the C library's malloc(3); the address tells which.
 *
 * A page of the dump that is written to is copied, by the command and by the process that it forks. So what commands
 * write to, the hot blocks, lies together while a dump is made (native/start.c knows which they are).
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

#define GRAIN REGION_GRAIN
#define SMALL_MAX 512UL /* so many bytes at the most have no header */
#define SMALL_CLASSES (SMALL_MAX / GRAIN + 1) /* class N has blocks of N grains; 0 is a slab without small ones */
#define HEADER GRAIN /* of a larger block: holds its class */
#define STEPS 4UL /* classes to each doubling of size */
#define DOUBLINGS 15UL /* up to 16 MiB */
#define CLASSES (SMALL_CLASSES + STEPS * DOUBLINGS)
#define CHUNK (4 * REGION_PAGE) /* what larger blocks are cut from */
#define SLAB 1024UL /* holds small blocks of one class */
#define SLABS (REGION_SIZE / SLAB)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* newer than this C library's headers */
#endif

struct block {
    struct block *next;
};

struct run {
    char *next, *end;
};

/* Where new pages come from: of a hot part, from its own few, and then as all others from the end. */
static struct run pages[REGION_PARTS] = {[REGION_COLD] = {(char *)REGION_BASE, (char *)(REGION_BASE + REGION_SIZE)}};
static struct run slabs[REGION_PARTS], small[REGION_PARTS][SMALL_CLASSES], large[REGION_PARTS];
static struct block *freed[REGION_PARTS][CLASSES];
static unsigned char kinds[SLABS];         /* the class of each slab's blocks */
static unsigned long mapped = REGION_BASE; /* the end of what is mapped */
static size_t from_elsewhere;              /* blocks that the region could not give */
static unsigned long ends[REGION_COLD];    /* of the parts before the cold one */
/* While a dump is made: */
static uint32_t *numbers, number;
static const unsigned char *parts; /* by number */
static size_t parts_count;

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
    unsigned long end = (unsigned long)pages[REGION_COLD].next;

    /* What is free among the cold stays so: a command is to write to pages of its own, or to hot ones. */
    numbers = NULL;
    parts = NULL;
    mapped = end + REGION_GROWTH;
    return from_elsewhere == 0 && mapped <= REGION_BASE + REGION_SIZE ? end : 0;
}

void region_count(uint32_t *serials)
{
    numbers = serials;
}

void region_part(const unsigned char *of_blocks, size_t count, const size_t sizes[REGION_COLD])
{
    char *end = (char *)REGION_BASE;
    int part;

    parts = of_blocks;
    parts_count = count;
    for (part = 0; part < REGION_COLD; part++) {
        pages[part].next = end;
        pages[part].end = end += sizes[part];
        ends[part] = (unsigned long)end;
    }
    pages[REGION_COLD].next = end;
}

void region_populate(void)
{
    if (ends[REGION_BEFORE] != 0)
        (void)madvise((void *)REGION_BASE, ends[REGION_BEFORE] - REGION_BASE, MADV_POPULATE_WRITE);
}

static int inside(const void *address)
{
    unsigned long place = (unsigned long)address;

    return place >= REGION_BASE && place < REGION_BASE + REGION_SIZE;
}

static unsigned char *kind_of_slab(const void *address)
{
    return &kinds[((unsigned long)address - REGION_BASE) / SLAB];
}

/* Take SIZE fresh bytes for PART, whole pages; NULL if there are none. */
static char *fresh_pages(int part, size_t size)
{
    struct run *from = &pages[part];
    char *start;

    if ((size_t)(from->end - from->next) < size)
        from = &pages[REGION_COLD];
    start = from->next;
    if ((size_t)(from->end - start) < size || map_up_to((unsigned long)start + size) < 0) {
        from_elsewhere++;
        return NULL;
    }
    from->next = start + size;
    return start;
}

/* Return the class of larger blocks of SIZE bytes, header included, and in *ROUNDED how many each has; CLASSES: larger than any. */
static size_t class_of(size_t size, size_t *rounded)
{
    size_t base = SMALL_MAX, doubling = 0, step;

    while (doubling < DOUBLINGS && size > base * 2) {
        base *= 2;
        doubling++;
    }
    if (doubling == DOUBLINGS)
        return CLASSES;
    step = (size - base + base / STEPS - 1) / (base / STEPS);
    *rounded = base + step * (base / STEPS);
    return SMALL_CLASSES + doubling * STEPS + step - 1;
}

static size_t *header_of(void *block)
{
    return (size_t *)((char *)block - HEADER);
}

/* Return how many bytes BLOCK, one of the region's, has for its user. */
static size_t room(void *block)
{
    size_t kind = *kind_of_slab(block), base, step;

    if (kind != 0)
        return kind * GRAIN;
    kind = *header_of(block) - SMALL_CLASSES;
    base = SMALL_MAX << (kind / STEPS);
    step = kind % STEPS + 1;
    return base + step * (base / STEPS) - HEADER;
}

/* Cut SIZE bytes from RUN, which gets AMOUNT fresh bytes for PART if it has not so many; NULL if there are none. */
static char *cut(struct run *run, int part, size_t size, size_t amount)
{
    char *start;

    if ((size_t)(run->end - run->next) < size) {
        start = fresh_pages(part, amount);
        if (start == NULL)
            return NULL;
        run->next = start;
        run->end = start + amount;
    }
    start = run->next;
    run->next += size;
    return start;
}

static void *new_small(int part, size_t kind)
{
    struct run *run = &small[part][kind];
    char *slab;

    if ((size_t)(run->end - run->next) < kind * GRAIN) {
        slab = cut(&slabs[part], part, SLAB, REGION_PAGE);
        if (slab == NULL)
            return NULL;
        *kind_of_slab(slab) = (unsigned char)kind;
        run->next = slab;
        run->end = slab + SLAB;
    }
    return cut(run, part, kind * GRAIN, 0);
}

static void *new_large(int part, size_t kind, size_t size)
{
    size_t amount = size <= CHUNK ? CHUNK : (size + REGION_PAGE - 1) & ~(REGION_PAGE - 1);
    struct run own = {NULL, NULL};
    char *start = cut(size <= CHUNK ? &large[part] : &own, part, size, amount);

    if (start == NULL)
        return NULL;
    *(size_t *)start = kind;
    return start + HEADER;
}

/* Return which part the next block belongs to, while a dump is made. */
static int next_part(void)
{
    number++;
    if (parts == NULL)
        return REGION_COLD;
    return number < parts_count ? parts[number] : REGION_COLD;
}

/* Return which part BLOCK, which is being freed, belongs to. */
static int part_of(const void *block)
{
    int part = 0;

    if (numbers != NULL)
        return REGION_COLD;
    while (parts != NULL && part < REGION_COLD && (unsigned long)block >= ends[part])
        part++;
    return part; /* of a dump's blocks, whatever they were: the command has written to them */
}

void *region_malloc(size_t size)
{
    int part = numbers != NULL || parts != NULL ? next_part() : REGION_AFTER;
    size_t kind = (size + GRAIN - 1) / GRAIN, rounded = 0;
    struct block *found;

    if (size <= SMALL_MAX) {
        kind += kind == 0; /* room for the list of what is free */
    } else {
        kind = size > PTRDIFF_MAX - HEADER ? CLASSES : class_of(size + HEADER, &rounded);
        if (kind == CLASSES) {
            from_elsewhere++;
            return malloc(size);
        }
    }
    found = freed[part][kind];
    if (found != NULL)
        freed[part][kind] = found->next;
    else
        found = kind < SMALL_CLASSES ? new_small(part, kind) : new_large(part, kind, rounded);
    if (found == NULL)
        return malloc(size);
    if (numbers != NULL)
        numbers[((unsigned long)found - REGION_BASE) / GRAIN] = number;
    return found;
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
    had = room(old);
    if (size <= had && size >= had / 4) /* what a short read has left of a long buffer moves */
        return old;
    made = region_malloc(size);
    if (made != NULL) {
        memcpy(made, old, had < size ? had : size);
        region_free(old);
    }
    return made;
}

void region_free(void *old)
{
    struct block *block = old;
    size_t kind;
    int part;

    if (old == NULL)
        return;
    if (!inside(old)) {
        free(old);
        return;
    }
    kind = *kind_of_slab(old);
    if (kind == 0)
        kind = *header_of(old);
    part = part_of(old);
    block->next = freed[part][kind];
    freed[part][kind] = block;
}

void *region_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    void *made;

    if (fd != -1 || address != NULL)
        return mmap(address, length, protection, flags, fd, offset);
    made = region_malloc(length);
    return made != NULL ? made : MAP_FAILED;
}

int region_munmap(void *address, size_t length)
{
    (void)length;
    region_free(address);
    return 0;
}

unsigned long region_block(unsigned long address, size_t *size)
{
    unsigned long place = address & ~(GRAIN - 1);

    if (!inside((void *)address) || numbers == NULL)
        return 0;
    while (place >= REGION_BASE && numbers[(place - REGION_BASE) / GRAIN] == 0)
        place -= GRAIN;
    if (place < REGION_BASE)
        return 0;
    *size = room((void *)place);
    return place;
}
