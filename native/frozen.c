/* The one module that the core of the interpreter needs frozen, in place of libpython's thirty.
 *
 * Those come with half a megabyte of objects made by the compiler, the strings of the standard library among them. What our own
 * code calls by the same name would be one of these, and each lie in a page of its own: commands write to them, as they count references.
 */
#define Py_BUILD_CORE 1
#include "module.h"

#include <internal/pycore_import.h>
#include <internal/pycore_pylifecycle.h>

static const unsigned char bootstrap[] = {
#include "bootstrap.h"
};

static const struct _frozen needed[] = {{.name = "_frozen_importlib", .code = bootstrap, .size = sizeof bootstrap}, {.name = NULL}};
static const struct _frozen none[] = {{.name = NULL}};
static const struct _module_alias no_aliases[] = {{NULL, NULL}};

const struct _frozen *_PyImport_FrozenBootstrap = needed;
const struct _frozen *_PyImport_FrozenStdlib = none;
const struct _frozen *_PyImport_FrozenTest = none;
const struct _frozen *PyImport_FrozenModules = NULL;
const struct _module_alias *_PyImport_FrozenAliases = no_aliases;


int _Py_Deepfreeze_Init(void)
{
    return 0;
}

void _Py_Deepfreeze_Fini(void)
{
}
