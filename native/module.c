/* System calls with machine words as arguments, without _ctypes: that would be a shared object to load. */
#include "module.h"
#include "region.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORDS 6

/* Put ARG into *WORD: an int, the address of bytes or of a bytearray, or NULL for None. Returns 0, or -1 with an exception. */
static int word_of(PyObject *arg, long *word)
{
    if (arg == Py_None) {
        *word = 0;
        return 0;
    }
    if (PyBytes_Check(arg)) {
        *word = (long)PyBytes_AS_STRING(arg);
        return 0;
    }
    if (!PyLong_Check(arg)) {
        PyErr_Format(PyExc_TypeError, "int, bytes or None, not %.100s", Py_TYPE(arg)->tp_name);
        return -1;
    }
    *word = PyLong_AsLong(arg);
    if (*word != -1 || !PyErr_Occurred())
        return 0;
    PyErr_Clear();
    *word = (long)PyLong_AsUnsignedLong(arg);
    if (!PyErr_Occurred())
        return 0;
    PyErr_Clear();
    PyErr_Format(PyExc_OverflowError, "%S does not fit a machine word", arg);
    return -1;
}

/* Put all ARGS, the number of the call first, into WORDS. Returns 0, or -1 with an exception. */
static int words_of(PyObject *const *args, Py_ssize_t count, long words[WORDS + 1])
{
    Py_ssize_t i;

    if (count < 1 || count > WORDS + 1) {
        PyErr_SetString(PyExc_TypeError, "a system call has a number and up to six arguments");
        return -1;
    }
    for (i = 0; i <= WORDS; i++) {
        words[i] = 0;
        if (i < count && word_of(args[i], &words[i]) < 0)
            return -1;
    }
    return 0;
}

/* Return RESULT of system CALL, or NULL with an OSError for errno that remembers the call (pyrunc/linux/abi.py). */
static PyObject *result_of(long result, long call)
{
    PyObject *type, *error, *trace, *number;

    if (result >= 0)
        return PyLong_FromLong(result);
    PyErr_SetFromErrno(PyExc_OSError);
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    number = PyLong_FromLong(call);
    if (number == NULL || PyObject_SetAttrString(error, "syscall", number) < 0)
        PyErr_Clear(); /* the error without the number is still the error */
    Py_XDECREF(number);
    PyErr_Restore(type, error, trace);
    return NULL;
}

static PyObject *module_syscall(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    long w[WORDS + 1], result;

    (void)module;
    if (words_of(args, count, w) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    result = syscall(w[0], w[1], w[2], w[3], w[4], w[5], w[6]);
    Py_END_ALLOW_THREADS
    return result_of(result, w[0]);
}

static PyObject *module_fork_syscall(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    long w[WORDS + 1], result;
    int number;

    (void)module;
    if (words_of(args, count, w) < 0)
        return NULL;
    PyOS_BeforeFork();
    result = syscall(w[0], w[1], w[2], w[3], w[4], w[5], w[6]);
    if (result == 0) {
        PyOS_AfterFork_Child();
        return PyLong_FromLong(0);
    }
    number = errno;
    PyOS_AfterFork_Parent();
    errno = number;
    return result_of(result, w[0]);
}

static PyObject *module_address(PyObject *module, PyObject *memory)
{
    PyObject *address;
    Py_buffer view;

    (void)module;
    if (PyObject_GetBuffer(memory, &view, PyBUF_WRITABLE) < 0)
        return NULL;
    address = PyLong_FromVoidPtr(view.buf);
    PyBuffer_Release(&view);
    return address;
}

static PyObject *module_shared_memory(PyObject *module, PyObject *args)
{
    Py_ssize_t size;
    void *memory;
    int fd, flags = MAP_SHARED;

    (void)module;
    if (!PyArg_ParseTuple(args, "in", &fd, &size))
        return NULL;
    if (fd < 0)
        flags |= MAP_ANONYMOUS;
    memory = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyMemoryView_FromMemory(memory, size, PyBUF_WRITE); /* never unmapped: there is one for each filter */
}

static PyObject *module_populate(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    region_populate();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"syscall", (PyCFunction)(void (*)(void))module_syscall, METH_FASTCALL,
     "Make a system call by its number, with ints, bytes (their address) and None (NULL); raise OSError."},
    {"fork_syscall", (PyCFunction)(void (*)(void))module_fork_syscall, METH_FASTCALL,
     "Make a system call that returns twice, as os.fork() does."},
    {"address", module_address, METH_O, "Return the address of the bytes of a bytearray, which must not change its size, or of shared memory."},
    {"shared_memory", module_shared_memory, METH_VARARGS, "Map bytes of a file, or of none (-1), shared, and return them as a memoryview."},
    {"populate", module_populate, METH_NOARGS, "Have the pages of the dump that are written to, in one call instead of a fault for each."},
    {"scan", json_scan, METH_O, "Return the value of a JSON document; raise ValueError, RecursionError."},
    {"script", script_place, METH_NOARGS, "Return the paths of the interpreter and of the interpreted program."},
    {"execute", execute, METH_O, "Execute the program again, by a descriptor of its file."},
    {"start_script", start_script, METH_NOARGS, "Become the interpreted program, with the same arguments."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_pyrunc", .m_size = -1, .m_methods = methods};

PyObject *PyInit__pyrunc(void)
{
    return PyModule_Create(&definition);
}
