/* The built-in module _pyrunc: raw system calls, JSON, and the way over to the interpreted program. */
#ifndef PYRUNC_MODULE_H
#define PYRUNC_MODULE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

PyObject *PyInit__pyrunc(void);
/* json.c: the value of the JSON document TEXT, a str; NULL with ValueError or RecursionError set. */
PyObject *json_scan(PyObject *module, PyObject *text);
/* start.c: the interpreter and the path of the interpreted program. */
PyObject *script_place(PyObject *module, PyObject *none);
/* start.c: execute the file behind descriptor FD, this program's own, with the same arguments. */
PyObject *execute(PyObject *module, PyObject *fd);
/* start.c: become the interpreted program, with the arguments that this one was started with. */
PyObject *start_script(PyObject *module, PyObject *none);

#endif
