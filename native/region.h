/* The memory that all of Python's objects live in: one region at a fixed address, which a dump saves whole. */
#ifndef PYRUNC_REGION_H
#define PYRUNC_REGION_H

#include <stddef.h>
#include <sys/types.h>

#define REGION_BASE 0x50000000UL /* above any heap: the kernel puts that within 1 GiB of a program that has no region yet */
#define REGION_SIZE (64UL << 20)
#define REGION_PAGE 4096UL
#define REGION_GROWTH (2UL << 20) /* mapped beyond what a dump holds, and then as much at a time */

/* Map the region's beginning; only a program that has not been started from a dump needs to. Returns 0, or -1 with errno. */
int region_map(void);
/* End the making of a dump: return the first address that has never been handed out, rounded up to a page, from where on
 * REGION_GROWTH bytes will be mapped. Returns 0 if something could not be had from the region, which a dump would lack. */
unsigned long region_seal(void);

/* What malloc(3) and its siblings, and mmap(2) of an arena, are to libpython (native/build.py renames its symbols). */
void *region_malloc(size_t size);
void *region_calloc(size_t count, size_t size);
void *region_realloc(void *old, size_t size);
void region_free(void *old);
void *region_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int region_munmap(void *address, size_t length);

#endif
