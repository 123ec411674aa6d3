/* The memory that all of Python's objects live in: one region at a fixed address, which a dump saves whole. */
#ifndef PYRUNC_REGION_H
#define PYRUNC_REGION_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define REGION_BASE 0x50000000UL /* above any heap: the kernel puts that within 1 GiB of a program that has no region yet */
#define REGION_SIZE (64UL << 20)
#define REGION_PAGE 4096UL
#define REGION_GRAIN 16UL /* blocks are aligned to it, as malloc's are, and their sizes are multiples of it */
#define REGION_GROWTH (2UL << 20) /* mapped beyond what a dump holds, and then as much at a time */

/* Map the region's beginning; only a program that has not been started from a dump needs to. Returns 0, or -1 with errno. */
int region_map(void);
/* End the making of a dump: return the first address that has never been handed out, rounded up to a page, from where on
 * REGION_GROWTH bytes will be mapped. Returns 0 if something could not be had from the region, which a dump would lack. */
unsigned long region_seal(void);

/* Count the blocks that are handed out from now on, in *SERIALS, which has a place for each 16 bytes of the region: the number of
 * the block that begins there, from 1 on. */
void region_count(uint32_t *serials);
/* Parts of a dump: what is written to once a command has forked, until then, what is only read, and what is hardly touched. */
enum region_part { REGION_AFTER, REGION_BEFORE, REGION_READ, REGION_COLD, REGION_PARTS };

/* Let the blocks of each part lie together: PARTS has the part of each of COUNT blocks by its number, and SIZES the bytes that the
 * others than the last get, whole pages. */
void region_part(const unsigned char *parts, size_t count, const size_t sizes[REGION_COLD]);
/* Return the start of the block that ADDRESS lies in, or 0; *SIZE is how many bytes it takes. Only while blocks are counted. */
unsigned long region_block(unsigned long address, size_t *size);

/* Have the pages of the hot parts for ourselves in one call, as they will be written to one by one (Linux 5.14; else nothing happens). */
void region_populate(void);

/* What malloc(3) and its siblings are to libpython, and mmap(2), by which it takes the stack of Python's frames and nothing else
 * here: that need not be zeros. native/build.py renames its symbols. */
void *region_malloc(size_t size);
void *region_calloc(size_t count, size_t size);
void *region_realloc(void *old, size_t size);
void region_free(void *old);
void *region_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int region_munmap(void *address, size_t length);

#endif
