/* The program: it makes a dump of the interpreter with everything imported, and starts from one.
 *
 *     stage count PROGRAM.marshal SEED HOT                          writes to HOT which blocks commands write to
 *     stage dump PROGRAM.marshal SEED HOT OUT INTERPRETER SCRIPT    writes the dump to OUT.state and OUT.region
 *     pyrunc ...                                                    (with the dump in the file) runs a command
 *
 * Starting from a dump is what a fork is to the interpreter: memory is there, threads are new, and what came from
 * the C library has to be made again. So PyOS_AfterFork_Child() does most of it. The rest is below: what
 * a dump must not bring along from the process that made it.
 */
#define _GNU_SOURCE
#define Py_BUILD_CORE 1
#include "module.h"
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <internal/pycore_pylifecycle.h>
#include <internal/pycore_pystate.h>
#include <internal/pycore_runtime.h>

/* Under which key the C library has the state of this thread; since 3.12 it is beside that in a variable of the thread's. */
#if PY_VERSION_HEX >= 0x030C0000
#define STATE_KEY _PyRuntime.autoTSSkey
#define STATE_VARIABLE 1
#else
#define STATE_KEY _PyRuntime.gilstate.autoTSSkey
#define STATE_VARIABLE 0
#endif

#define INTERRUPTED 130
#define AS_TEXT(number) #number
#define TEXT(number) AS_TEXT(number)

extern char **environ;

/* Part of the dump, like all variables of this file. */
int from_dump;
PyThreadState *thread_state;
PyObject *command, *environment, *set_handler;
static char interpreter[PATH_MAX]; /* of the script */
static char script[PATH_MAX];      /* relative to the directory of this program; of several, between colons, the first that is there */
static char **arguments;

int fail(const char *what)
{
    dprintf(2, "pyrunc: %s: %s\n", what, strerror(errno));
    return 1;
}

/* Tell in one line that PART of us has ended with an exception, if there is one. */
static void tell_exception(const char *part)
{
    PyObject *type, *error, *trace, *text;
    const char *words;

    PyErr_Fetch(&type, &error, &trace);
    text = error == NULL ? NULL : PyObject_Str(error);
    words = text == NULL ? NULL : PyUnicode_AsUTF8(text);
    dprintf(2, "pyrunc: cannot %s: %s: %s\n", part, type == NULL ? "" : ((PyTypeObject *)type)->tp_name, words == NULL ? "" : words);
}

int fail_python(const char *what)
{
    tell_exception(what);
    return 1;
}

/* --- the interpreted program ------------------------------------------------------------------------------- */

/* What Python ignores by itself, and what this process was started with. */
static const int own_signals[] = {SIGPIPE, SIGXFSZ};
#define OWN_SIGNALS (sizeof own_signals / sizeof *own_signals)
static struct sigaction given_signals[OWN_SIGNALS];
static sigset_t given_mask;

static void give_signals_back(void)
{
    size_t i;

    for (i = 0; i < OWN_SIGNALS; i++)
        sigaction(own_signals[i], &given_signals[i], NULL);
}

/* Block ^C for the start of the script, which lets it in again: Python's own answer to it would be a traceback.
 * Returns -1 with an exception if there has been one already. */
static int hold_interrupts(void)
{
    sigset_t mask = given_mask;

    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    return PyErr_CheckSignals();
}

/* Put the path of this program into PATH. Returns 0, or -1 with errno. */
static int find_program(char *path)
{
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);

    if (length == 1) { /* on a mount of its own, see execute(): nobody without privileges makes one, and says what he likes */
        snprintf(path, PATH_MAX, "%s", arguments[0]);
        return 0;
    }
    if (length > 0)
        path[length] = '\0';
    else if (realpath((const char *)getauxval(AT_EXECFN), path) == NULL) /* without /proc, as we were called */
        return -1;
    return 0;
}

/* Put the path of the script into PATH, which has room for two. Returns 0, or -1 with errno. */
static int find_script(char *path)
{
    const char *place = script;
    char *name;
    size_t length;

    if (find_program(path) < 0)
        return -1;
    name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    do {
        length = strcspn(place, ":");
        memcpy(name, place, length);
        name[length] = '\0';
        if (access(path, R_OK) == 0)
            return 0;
        place += length + 1;
    } while (place[-1] == ':');
    return -1;
}

/* Put the path of the script's interpreter into PATH: that of the virtual environment which this program is in, if it is in one
 * and that has this version; else the one that built us. */
static void find_interpreter(char *path)
{
    char found[PATH_MAX * 2];
    char *name;

    strcpy(path, interpreter);
    if (find_program(found) < 0 || (name = strrchr(found, '/')) == NULL)
        return;
    strcpy(name + 1, "../pyvenv.cfg");
    if (access(found, R_OK) < 0)
        return;
    strcpy(name + 1, "python" TEXT(PY_MAJOR_VERSION) "." TEXT(PY_MINOR_VERSION));
    if (access(found, X_OK) == 0 && realpath(found, path) == NULL)
        strcpy(path, interpreter);
}

static PyObject *decoded(const char *path)
{
    return PyUnicode_DecodeUTF8(path, (Py_ssize_t)strlen(path), "surrogateescape");
}

PyObject *script_place(PyObject *module, PyObject *none)
{
    char path[PATH_MAX * 2] = "/proc/self/exe", python[PATH_MAX];

    (void)module, (void)none;
    if (find_script(path) < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    find_interpreter(python);
    return Py_BuildValue("NN", decoded(python), decoded(path));
}

PyObject *start_script(PyObject *module, PyObject *none)
{
    char path[PATH_MAX * 2] = "/proc/self/exe", program[PATH_MAX + 16], python[PATH_MAX];
    const char *called;
    char **argv;
    int count, i;

    (void)module, (void)none;
    if (find_script(path) < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    for (count = 0; arguments[count] != NULL; count++)
        ;
    /* As whom we were called, for who asks (pyrunc install). Not by argv[0]: Python looks for its library by that. */
    called = (const char *)getauxval(AT_EXECFN);
    snprintf(program, sizeof program, "program=%s", called != NULL ? called : arguments[0]);
    if (hold_interrupts() < 0)
        return NULL;
    argv = calloc((size_t)count + 6, sizeof *argv);
    if (argv == NULL)
        return PyErr_NoMemory();
    find_interpreter(python);
    argv[0] = python;
    argv[1] = (char *)"-ISXutf8";
    argv[2] = (char *)(sigismember(&given_mask, SIGINT) ? "-Xblocked" : "-Xheld"); /* by the caller, or by us */
    argv[3] = (char *)"-X";
    argv[4] = program;
    argv[5] = path;
    for (i = 1; i < count; i++)
        argv[i + 5] = arguments[i];
    give_signals_back();
    execve(python, argv, environ);
    free(argv);
    sigprocmask(SIG_SETMASK, &given_mask, NULL);
    return PyErr_SetFromErrnoWithFilename(PyExc_OSError, python);
}

PyObject *execute(PyObject *module, PyObject *fd)
{
    char path[PATH_MAX] = "/proc/self/exe", *first = arguments[0];
    int number = (int)PyLong_AsLong(fd);

    (void)module;
    if (number == -1 && PyErr_Occurred())
        return NULL;
    if (find_program(path) < 0)
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    give_signals_back();
    arguments[0] = path;
    syscall(SYS_execveat, number, "", arguments, environ, AT_EMPTY_PATH);
    arguments[0] = first;
    return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
}

/* --- starting from one ------------------------------------------------------------------------------------- */

/* Make threads' things again: the C library has given this thread another name, and none of its keys is there. */
static void revive(void)
{
    STATE_KEY._is_initialized = 0;
    if (PyThread_tss_create(&STATE_KEY) != 0 || PyThread_tss_set(&STATE_KEY, thread_state) != 0)
        Py_FatalError("no thread key");
#if STATE_VARIABLE
    _Py_tss_tstate = thread_state;
#endif
    thread_state->thread_id = PyThread_get_thread_ident();
    PyOS_AfterFork_Child();
}

/* Fill posix.environ, as that module does when it is imported. Returns 0, or -1 with an exception. */
static int fill_environment(void)
{
    char **entry;

    PyDict_Clear(environment);
    for (entry = environ; entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        PyObject *name, *text;
        int failed;
        if (equals == NULL)
            continue;
        name = PyBytes_FromStringAndSize(*entry, equals - *entry);
        text = PyBytes_FromString(equals + 1);
        failed = name == NULL || text == NULL || PyDict_SetDefault(environment, name, text) == NULL;
        Py_XDECREF(name);
        Py_XDECREF(text);
        if (failed)
            return -1;
    }
    return 0;
}

static int handle(int number, PyObject *handler)
{
    PyObject *done = PyObject_CallFunction(set_handler, "iO", number, handler);

    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Let Python know which signals this process ignores, and set its own, as it does at every start.
 *
 * But not for ^C, which the command sees to (cli/main.py): until then it ends us, without a word.
 */
static int take_signals(void)
{
    PyObject *ignore = PyLong_FromLong((long)SIG_IGN);
    int number, failed = ignore == NULL;
    size_t i;

    sigprocmask(SIG_BLOCK, NULL, &given_mask);
    for (i = 0; i < OWN_SIGNALS; i++)
        sigaction(own_signals[i], NULL, &given_signals[i]);
    for (number = 1; number < NSIG && !failed; number++) {
        struct sigaction now;
        if (sigaction(number, NULL, &now) < 0)
            continue;
        if (now.sa_handler == SIG_IGN || number == SIGPIPE || number == SIGXFSZ)
            failed = handle(number, ignore);
    }
    Py_XDECREF(ignore);
    return failed ? -1 : 0;
}

static PyObject *argument_list(int argc, char **argv)
{
    PyObject *list = PyList_New(argc > 0 ? argc - 1 : 0);
    int i;

    for (i = 1; list != NULL && i < argc; i++) {
        PyObject *text = decoded(argv[i]);
        if (text == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, i - 1, text);
    }
    return list;
}

/* Tell in one line about the exception that a command has ended with, if it is not ^C once more; return the exit status. */
static int interrupted_or_failed(void)
{
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
        return INTERRUPTED;
    tell_exception("run the command");
    return 1;
}

static int run_command(int argc, char **argv)
{
    PyObject *list, *result;

    revive();
    arguments = argv;
    list = fill_environment() < 0 || take_signals() < 0 ? NULL : argument_list(argc, argv);
    result = list == NULL ? NULL : PyObject_CallOneArg(command, list);
    return result == NULL ? interrupted_or_failed() : (int)PyLong_AsLong(result);
}

int main(int argc, char **argv)
{
    if (from_dump)
        _exit(run_command(argc, argv));
    if (argc == 5 && strcmp(argv[1], "count") == 0)
        return count_blocks(argv[2], argv[3], argv[4]);
    if (argc != 8 || strcmp(argv[1], "dump") != 0) {
        dprintf(2, "usage: %s count PROGRAM SEED HOT, or dump PROGRAM SEED HOT OUT INTERPRETER SCRIPT\n", argv[0]);
        return 2;
    }
    snprintf(interpreter, sizeof interpreter, "%s", argv[6]);
    snprintf(script, sizeof script, "%s", argv[7]);
    return make_dump(argv[2], argv[3], argv[4], argv[5]);
}
