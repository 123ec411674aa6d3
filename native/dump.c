/* Making a dump: start the interpreter, run the program that imports everything, and write its memory to files.
 *
 * That is done twice, and takes the same blocks of memory in the same order, as the seed of Python's hashes is the same. What the first run
 * has found out about them the second puts to use (native/hot.py).
 */
#define Py_BUILD_CORE 1
#include "module.h"
#include "region.h"
#include "start.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <internal/pycore_interp.h>
#include <internal/pycore_pylifecycle.h>
#include <internal/pycore_pystate.h>
#include <marshal.h>

#define HOT_SPARE (40 * REGION_PAGE) /* the last page of each class is not full */

extern char pystate_start[], pystate_end[];

static int write_file(const char *name, const char *suffix, const void *data, size_t size)
{
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof path, "%s.%s", name, suffix);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done <= 0)
            return -1;
        data = (const char *)data + done;
        size -= (size_t)done;
    }
    return close(fd);
}

/* Start the interpreter as far as its core (PEP 587): no paths, no codecs, no streams, nothing of this machine's. */
static int start_core(unsigned long seed)
{
    PyPreConfig before;
    PyConfig config;
    PyStatus status;

    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    before.allocator = PYMEM_ALLOCATOR_MALLOC; /* the region's own */
    status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status))
        return -1;
    PyConfig_InitIsolatedConfig(&config);
    config._init_main = 0;
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 0;
    config.use_hash_seed = 1;
    config.hash_seed = seed;
    status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status) || _PySignal_Init(0) < 0)
        return -1;
    return 0;
}

/* The codec of file names, which the core has not looked up yet: UTF-8, whatever the locale is. */
static void name_codec(PyThreadState *state)
{
    struct _Py_unicode_fs_codec *codec = &state->interp->unicode.fs_codec;

    codec->encoding = _PyMem_RawStrdup("utf-8");
    codec->utf8 = 1;
    codec->errors = _PyMem_RawStrdup("surrogateescape");
    codec->error_handler = _Py_ERROR_SURROGATEESCAPE;
}

/* Read the program in file PATH: program.py, its modules, warm.py, and for count hot.py and the names of functions. */
static PyObject *read_program(const char *path)
{
    PyObject *parts;
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        return PyErr_SetFromErrno(PyExc_OSError);
    parts = PyMarshal_ReadLastObjectFromFile(file);
    fclose(file);
    if (parts != NULL && (!PyTuple_Check(parts) || PyTuple_GET_SIZE(parts) != 5)) {
        PyErr_SetString(PyExc_ValueError, "the program has five parts");
        Py_CLEAR(parts);
    }
    return parts;
}

/* Run CODE with VALUE as NAME; return its dictionary, or NULL. */
static PyObject *run_code(PyObject *code, const char *name, PyObject *value)
{
    PyObject *names = Py_BuildValue("{s:O,s:O}", "__builtins__", PyEval_GetBuiltins(), name, value);
    PyObject *result = names == NULL ? NULL : PyEval_EvalCode(code, names, names);

    if (result == NULL)
        Py_CLEAR(names);
    Py_XDECREF(result);
    return names;
}

/* Start the interpreter, and run the program in file PATH. Returns its parts and in *NAMES the program's dictionary, or NULL. */
static PyObject *start_program(const char *path, const char *seed, PyObject **names)
{
    PyObject *parts;
    int number;

    for (number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* what the build ignores is not the dump's */
    if (start_core(strtoul(seed, NULL, 10)) < 0)
        return NULL;
    thread_state = PyThreadState_Get();
    name_codec(thread_state);
    parts = read_program(path);
    *names = parts == NULL ? NULL : run_code(PyTuple_GET_ITEM(parts, 0), "PARTS", parts);
    return *names == NULL ? NULL : parts;
}

/* How the blocks are parted, by their numbers. */
static uint32_t *numbers;
static unsigned char *parts;

/* Put the block that ADDRESS lies in into PART; return how many bytes that takes, if it was in none. */
static size_t put(const void *address, unsigned char part)
{
    size_t size;
    unsigned long block = region_block((unsigned long)address, &size);
    uint32_t number = block == 0 ? 0 : numbers[(block - REGION_BASE) / REGION_GRAIN];

    if (number == 0 || parts[number] != REGION_COLD)
        return 0;
    parts[number] = part;
    return size;
}

/* Return the dictionary of class KIND, or NULL. */
static PyObject *dictionary_of(PyTypeObject *kind)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyType_GetDict(kind); /* an own reference, of a process that ends soon */
#else
    return kind->tp_dict;
#endif
}

/* Put apart what is only read with the objects of LIST: tables of names. Returns how many bytes that takes. */
static size_t put_read(PyObject *list)
{
    size_t total = 0;
    Py_ssize_t i;

    for (i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *each = PyList_GET_ITEM(list, i);
        PyObject *names = PyType_Check(each) ? dictionary_of((PyTypeObject *)each) : each;
        if (names != NULL && PyDict_Check(names))
            total += put(names, REGION_READ) + put(((PyDictObject *)names)->ma_keys, REGION_READ);
        if (PyCode_Check(each))
            total += put(((PyCodeObject *)each)->co_localsplusnames, REGION_READ);
    }
    return total;
}

/* Put the objects of LIST into PART, and of classes what counts their instances' attributes; return how many bytes that takes. */
static size_t put_all(PyObject *list, unsigned char part)
{
    size_t total = 0;
    Py_ssize_t i;

    for (i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *each = PyList_GET_ITEM(list, i);
        total += put(each, part);
        if (PyType_Check(each) && PyType_HasFeature((PyTypeObject *)each, Py_TPFLAGS_HEAPTYPE))
            total += put(((PyHeapTypeObject *)each)->ht_cached_keys, part);
    }
    return total;
}

int count_blocks(const char *path, const char *seed, const char *out)
{
    static const char *const lists[REGION_COLD] = {"AFTER", "BEFORE", "READ"};
    size_t places = REGION_SIZE / REGION_GRAIN, sizes[REGION_COLD]; /* far more than there are blocks */
    PyObject *program, *names, *found[REGION_COLD];
    unsigned char part;

    numbers = calloc(places, sizeof *numbers);
    parts = malloc(places);
    if (numbers == NULL || parts == NULL || region_map() < 0)
        return fail("cannot have the memory");
    memset(parts, REGION_COLD, places);
    region_count(numbers);
    program = start_program(path, seed, &names);
    names = program == NULL ? NULL : run_code(PyTuple_GET_ITEM(program, 3), "NAMES", PyTuple_GET_ITEM(program, 4));
    for (part = 0; part < REGION_COLD; part++) {
        found[part] = names == NULL ? NULL : PyDict_GetItemString(names, lists[part]);
        if (found[part] == NULL || !PyList_Check(found[part]))
            return fail_python("find what commands write to");
        sizes[part] = put_all(found[part], part);
    }
    for (part = 0; part < REGION_COLD; part++)
        sizes[REGION_READ] += put_read(found[part]);
    for (part = 0; part < REGION_COLD; part++)
        sizes[part] = (sizes[part] + HOT_SPARE + REGION_PAGE - 1) & ~(REGION_PAGE - 1);
    return write_file(out, "sizes", sizes, sizeof sizes) < 0 || write_file(out, "parts", parts, places) < 0 ? fail(out) : 0;
}

/* Return the bytes of file NAME.SUFFIX, at least SIZE of them, or NULL. */
static void *map_file(const char *name, const char *suffix, size_t *size)
{
    char path[PATH_MAX];
    struct stat about;
    void *bytes;
    int fd;

    snprintf(path, sizeof path, "%s.%s", name, suffix);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0)
        return NULL;
    bytes = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    *size = (size_t)about.st_size;
    return bytes == MAP_FAILED ? NULL : bytes;
}

/* Let the blocks lie in parts as file HOT says. Returns 0, or -1 with errno. */
static int part_region(const char *hot)
{
    size_t length, count;
    const size_t *sizes = map_file(hot, "sizes", &length);
    const unsigned char *of_blocks = map_file(hot, "parts", &count);

    if (sizes == NULL || of_blocks == NULL)
        return -1;
    region_part(of_blocks, count, sizes);
    return 0;
}

int make_dump(const char *program, const char *seed, const char *hot, const char *out)
{
    PyObject *names;
    unsigned long end;

    if (region_map() < 0 || part_region(hot) < 0)
        return fail("cannot map the region");
    if (start_program(program, seed, &names) == NULL)
        return fail_python("run the program that is to be dumped");
    command = PyDict_GetItemString(names, "command");
    environment = PyDict_GetItemString(names, "environment");
    set_handler = PyDict_GetItemString(names, "set_handler");
    if (command == NULL || environment == NULL || set_handler == NULL)
        return fail_python("find what a command begins with");
    from_dump = 1;
    PyOS_BeforeFork(); /* whose other half is revive()'s */
    end = region_seal();
    if (end == 0)
        return fail_python("have all of it in the region");
    if (write_file(out, "state", pystate_start, (uintptr_t)pystate_end - (uintptr_t)pystate_start) < 0
        || write_file(out, "region", (void *)REGION_BASE, end - REGION_BASE) < 0)
        return fail("cannot write the dump");
    return 0;
}
