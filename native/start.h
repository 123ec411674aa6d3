/* What the two halves of the program share: making a dump (dump.c), and starting from one (start.c). All of it is in the dump. */
#ifndef PYRUNC_START_H
#define PYRUNC_START_H

#include "module.h"

extern int from_dump;
extern PyThreadState *thread_state;
extern PyObject *command;     /* pyrunc.cli.main.main */
extern PyObject *environment; /* posix.environ */
extern PyObject *set_handler; /* _signal.signal */

/* Tell that WHAT failed, with errno or with Python's exception; return 1, the exit status. */
int fail(const char *what);
int fail_python(const char *what);

/* Run PROGRAM with SEED for hashes, and write to the files HOT.sizes and HOT.parts how its blocks are to be parted. Returns the exit status. */
int count_blocks(const char *program, const char *seed, const char *hot);
/* Run PROGRAM once more, with its blocks parted as HOT says, and write the dump to OUT.state and OUT.region. Returns the exit status. */
int make_dump(const char *program, const char *seed, const char *hot, const char *out);

#endif
