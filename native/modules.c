/* The C modules that are built in: what the commands of the fast path import, and what Python cannot start without. */
#include "module.h"

extern PyObject *PyInit__abc(void);
extern PyObject *PyInit__blake2(void);
extern PyObject *PyInit__codecs(void);
extern PyObject *PyInit__functools(void);
extern PyObject *PyInit__imp(void);
extern PyObject *PyInit__io(void);
extern PyObject *PyInit__signal(void);
extern PyObject *PyInit__socket(void);
extern PyObject *PyInit__struct(void);
extern PyObject *PyInit__thread(void);
extern PyObject *PyInit__weakref(void);
extern PyObject *PyInit_atexit(void);
extern PyObject *PyInit_errno(void);
extern PyObject *PyInit_fcntl(void);
extern PyObject *PyInit_gc(void);
extern PyObject *PyInit_itertools(void);
extern PyObject *PyInit_math(void);
extern PyObject *PyInit_posix(void);
extern PyObject *PyInit_select(void);
extern PyObject *PyInit_time(void);
extern PyObject *PyMarshal_Init(void);
extern PyObject *_PyWarnings_Init(void);

struct _inittab _PyImport_Inittab[] = {
    {"_abc", PyInit__abc},
    {"_blake2", PyInit__blake2},
    {"_codecs", PyInit__codecs},
    {"_functools", PyInit__functools},
    {"_imp", PyInit__imp},
    {"_io", PyInit__io},
    {"_pyrunc", PyInit__pyrunc},
    {"_signal", PyInit__signal},
    {"_socket", PyInit__socket},
    {"_struct", PyInit__struct},
    {"_thread", PyInit__thread},
    {"_warnings", _PyWarnings_Init},
    {"_weakref", PyInit__weakref},
    {"atexit", PyInit_atexit},
    {"builtins", NULL},
    {"errno", PyInit_errno},
    {"fcntl", PyInit_fcntl},
    {"gc", PyInit_gc},
    {"itertools", PyInit_itertools},
    {"marshal", PyMarshal_Init},
    {"math", PyInit_math},
    {"posix", PyInit_posix},
    {"select", PyInit_select},
    {"sys", NULL},
    {"time", PyInit_time},
    {NULL, NULL},
};
