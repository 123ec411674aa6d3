"""The C of the native program under AddressSanitizer and UndefinedBehaviorSanitizer, and by cppcheck.

The built-in module is compiled as an ordinary extension for this, and the allocator into a program of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
NATIVE = CHECKOUT / "native"
PYTHON = os.environ.get("PYRUNC_PYTHON", "/usr/bin/python3")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g")
SANITIZERS += ("-std=gnu11", "-Wall", "-Wextra", "-Werror")
# Takes the place of start.c in the extension.
STUB = """#include "module.h"
PyObject *start_script(PyObject *m, PyObject *n) { (void)m, (void)n; Py_RETURN_NONE; }
PyObject *execute(PyObject *m, PyObject *n) { (void)m, (void)n; Py_RETURN_NONE; }
PyObject *script_place(PyObject *m, PyObject *n) { (void)m, (void)n; Py_RETURN_NONE; }
void region_populate(void) {}
"""
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def include() -> str:
    command = [PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('include'))"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path, "Python.h").exists():
        pytest.skip("Python's headers are not installed")
    return path


def library(name: str) -> str:
    path = subprocess.run(["cc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
    if "/" not in path:
        pytest.skip(f"there is no {name}")
    return path


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the module and return its directory."""
    directory = tmp_path_factory.mktemp("extension")
    (directory / "stub.c").write_text(STUB)
    command = ["cc", *SANITIZERS, "-shared", "-fPIC", f"-I{include()}", f"-I{NATIVE}"]
    sources = [str(NATIVE / "module.c"), str(NATIVE / "json.c"), str(directory / "stub.c")]
    done = subprocess.run([*command, *sources, "-o", str(directory / "_pyrunc.so")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


def run(extension: Path, code: str, **variables: str) -> str:
    """Run CODE, in which _pyrunc can be imported, and return its output."""
    environment = {"LD_PRELOAD": library("libasan.so"), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc", **variables}
    program = f"import sys; sys.path[:0] = [{str(extension)!r}, {str(CHECKOUT / 'runtime')!r}]\n{code}"
    done = subprocess.run([PYTHON, "-I", "-c", program], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


FUZZ = """
import json, random
import _pyrunc
from pyrunc import jsonio

def outcome(text):
    try:
        return "value", jsonio.loads(text)
    except jsonio.ConfigError as error:
        return "error", str(error)

def scanned(text):
    try:
        value = _pyrunc.scan(text)
    except (ValueError, RecursionError) as error:
        return "error", str(jsonio._explain_scan(text, "config.json", error)) if error.args[1:] else "other"
    return "value", value

chosen = random.Random(SEED)
whole = json.dumps({"a": [1, -2.5e3, True, None, "x\\u00e9\\U0001f600\\n", [], {}], "b": {"c": False}, "n": 10**30})
bits = ['"', "\\\\", "\\\\u", "d83d", "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "true", "nul", " ", "\\n", "\\t", "\\x00"]
bits += ["\\ud800", "NaN"]
count = refused = 0
for _ in range(ROUNDS):
    text = whole
    for _ in range(chosen.randint(1, 4)):
        at = chosen.randint(0, len(text))
        text = text[:at] + chosen.choice([chosen.choice(bits), ""]) + text[at + chosen.randint(0, 3):]
    try:
        text.encode()
    except UnicodeEncodeError:
        continue
    one, other = outcome(text), scanned(text)
    assert one[0] == other[0], (text, one, other)
    if one[0] == "value":
        assert repr(one[1]) == repr(other[1]), text
    elif other[1] != "other":
        assert one[1] == other[1], (text, one, other)
    refused += one[0] == "error"
    count += 1
print(count, refused)
"""


def test_the_scanner_agrees_with_that_of_python(extension: Path):
    """Documents that are whole, nearly whole and broken: the same value, or the same words."""
    said = run(extension, FUZZ.replace("SEED", "20261128").replace("ROUNDS", "20000"))
    count, refused = map(int, said.split())
    assert count > 15000
    assert refused > 1000
    assert count - refused > 300


def test_words_of_system_calls(extension: Path):
    """Numbers at the edges of a register, and what is none."""
    code = """
import _pyrunc, errno
GETPID, WRITE = (39, 1) if __import__("os").uname().machine == "x86_64" else (172, 64)
assert _pyrunc.syscall(GETPID) == __import__("os").getpid()
for good in (0, -1, 2**63, 2**64 - 1, -2**63, None, b"x"):
    try:
        _pyrunc.syscall(WRITE, 10**6, good, 1)
    except OSError as error:
        assert (error.errno, error.syscall) == (errno.EBADF, WRITE), good
for bad, kind in ((2**64, OverflowError), (-2**63 - 1, OverflowError), ("x", TypeError), (1.0, TypeError), ([], TypeError)):
    try:
        _pyrunc.syscall(WRITE, bad)
    except kind:
        continue
    raise SystemExit(f"{bad} was taken")
for many in ((), (WRITE, 1, 2, 3, 4, 5, 6, 7)):
    try:
        _pyrunc.syscall(*many)
    except TypeError:
        continue
    raise SystemExit(f"{many} was taken")
memory = bytearray(b"abc")
address = _pyrunc.address(memory)
read, write = __import__("os").pipe()
assert _pyrunc.syscall(WRITE, write, address, 3) == 3
assert __import__("os").read(read, 10) == b"abc"
pid = _pyrunc.fork_syscall(*((57,) if GETPID == 39 else (220, 17)))
if pid == 0:
    __import__("os")._exit(7)
assert __import__("os").waitpid(pid, 0)[1] == 7 << 8
fd = __import__("os").memfd_create("x")
__import__("os").ftruncate(fd, 8)
shared = _pyrunc.shared_memory(fd, 8)
shared[0:2] = b"ok"
assert __import__("os").pread(fd, 2, 0) == b"ok"
"""
    run(extension, code)


ALLOCATOR = """
#include "region.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLOTS 512

static unsigned char *blocks[SLOTS];
static size_t sizes[SLOTS];

int main(void)
{
    unsigned seed = 7;
    void *arena;
    int round;

    assert(region_map() == 0);
    for (round = 0; round < 400000; round++) {
        unsigned slot = (unsigned)rand_r(&seed) % SLOTS, kind = (unsigned)rand_r(&seed) % 8;
        size_t size = (size_t)rand_r(&seed) % (kind == 0 ? 70000 : kind < 3 ? 3000 : 600), i;
        unsigned char *block = blocks[slot];
        for (i = 0; block != NULL && i < sizes[slot]; i += sizes[slot] / 7 + 1)
            assert(block[i] == (unsigned char)slot); /* nobody else has written there */
        if (block != NULL && kind == 7) {
            block = region_realloc(block, size);
            size_t kept = size < sizes[slot] ? size : sizes[slot];
            for (i = 0; i < kept; i += kept / 7 + 1)
                assert(block[i] == (unsigned char)slot);
        } else {
            region_free(block);
            block = kind == 6 ? region_calloc(size, 1) : region_malloc(size);
            for (i = 0; kind == 6 && i < size; i++)
                assert(block[i] == 0);
        }
        assert(block != NULL && ((uintptr_t)block & 15) == 0);
        memset(block, (int)slot, size);
        blocks[slot] = block;
        sizes[slot] = size;
    }
    assert(region_malloc(SIZE_MAX) == NULL && region_calloc(SIZE_MAX, 2) == NULL);
    region_free(NULL);
    region_free(malloc(10)); /* what the C library has made goes back there */
    arena = region_mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(arena != MAP_FAILED && region_munmap(arena, 1 << 20) == 0);
    assert(region_mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == arena);
    for (round = 0; round < 100; round++) { /* far more than the region has */
        unsigned char *large = region_malloc(1 << 20);
        assert(large != NULL);
        memset(large, 1, 1 << 20);
    }
    return 0;
}
"""


# What the making of a dump asks of the allocator: blocks are numbered in their order, and lie where their part is.
PARTS = """
#include "region.h"
#include <assert.h>
#include <sys/mman.h>
#include <sys/resource.h>

static uint32_t numbers[REGION_SIZE / REGION_GRAIN];
/* By number, of which there is no 0. The last block is more than were counted. */
static const unsigned char parts[] = {0, 1, 0, REGION_COLD, 0, 1, REGION_COLD, 1, 0, REGION_COLD};
static const size_t asked[] = {40, 24, 40, 4000, 4000, 700, 70000, 70000, 40, 40};
#define COUNT (sizeof asked / sizeof *asked)

static unsigned long take(size_t size)
{
    return (unsigned long)region_malloc(size);
}

static void count(void)
{
    unsigned long block;
    size_t size, i;

    region_count(numbers);
    for (i = 0; i < COUNT; i++) {
        block = take(asked[i]);
        assert(numbers[(block - REGION_BASE) / REGION_GRAIN] == i + 1);
        assert(region_block(block + asked[i] / 2, &size) == block && size >= asked[i]);
    }
    region_free((void *)block);
    assert(take(33) == block && numbers[(block - REGION_BASE) / REGION_GRAIN] == COUNT + 1); /* the number is of the last use */
    assert(region_block(1, &size) == 0);
}

/* All pages from START to END can be written to without a fault. */
static void populate(unsigned long start, unsigned long end)
{
    struct rusage before, after;

    assert(madvise((void *)start, end - start, MADV_DONTNEED) == 0);
    region_populate();
    assert(getrusage(RUSAGE_SELF, &before) == 0);
    for (; start < end; start += REGION_PAGE)
        *(volatile char *)start = 1;
    assert(getrusage(RUSAGE_SELF, &after) == 0 && after.ru_minflt - before.ru_minflt < 10);
}

static void part(void)
{
    static const size_t sizes[REGION_COLD] = {40 * REGION_PAGE, 40 * REGION_PAGE, 0};
    unsigned long begins[] = {REGION_BASE, REGION_BASE + sizes[0], 0, REGION_BASE + sizes[0] + sizes[1]};
    unsigned long blocks[COUNT], end, late;
    size_t i;

    region_part(parts, sizeof parts, sizes);
    for (i = 0; i < COUNT; i++) {
        unsigned char of = i + 1 < sizeof parts ? parts[i + 1] : REGION_COLD;
        blocks[i] = take(asked[i]);
        assert(blocks[i] >= begins[of] && (of == REGION_COLD || blocks[i] < begins[of] + sizes[of]));
    }
    region_free((void *)blocks[2]); /* a cold one, which nobody gets again */
    region_free((void *)blocks[1]); /* and a hot one */
    end = region_seal();
    assert(end > blocks[COUNT - 1]);
    assert(take(24) == blocks[1]);
    late = take(40);
    assert(late >= REGION_BASE && late < begins[1]);
    region_free((void *)blocks[2]);
    assert(take(40) == blocks[2]); /* this has been written to by now */
    populate(begins[0], begins[3]);
}

int main(int argc, char **argv)
{
    (void)argv;
    assert(region_map() == 0);
    if (argc == 1)
        count();
    else
        part();
    return 0;
}
"""


def compiled(directory: Path, source: str) -> Path:
    """Compile SOURCE with the allocator in DIRECTORY and return the program."""
    (directory / "main.c").write_text(source)
    program = directory / "main"
    # AddressSanitizer's own memory lies elsewhere; its check of `free` sees whose block it is.
    command = ["cc", *SANITIZERS, "-fno-pie", "-no-pie", f"-I{NATIVE}", str(directory / "main.c"), str(NATIVE / "region.c")]
    done = subprocess.run([*command, "-o", str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def works(program: Path, *argv: str) -> None:
    """Run PROGRAM with ARGV, and see that nothing is wrong."""
    options = {"ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1"}
    ran = subprocess.run([program, *argv], capture_output=True, text=True, timeout=100, env=options)
    assert ran.returncode == 0, ran.stderr[-3000:]


def test_the_allocator(tmp_path: Path):
    """Blocks keep what is written to them, whatever is allocated and freed beside them, and past the end of the region."""
    works(compiled(tmp_path, ALLOCATOR))


def test_the_parts_of_a_dump(tmp_path: Path):
    program = compiled(tmp_path, PARTS)
    works(program)
    works(program, "part")


@pytest.mark.skipif(shutil.which("cppcheck") is None, reason="cppcheck is not installed")
def test_cppcheck_finds_nothing():
    options = ["--enable=warning,portability,performance", "--std=c11", "--error-exitcode=1", "-q", "--max-configs=1"]
    options += ["-DPy_BEGIN_ALLOW_THREADS={", "-DPy_END_ALLOW_THREADS=}"]
    done = subprocess.run(["cppcheck", *options, *map(str, sorted(NATIVE.glob("*.c")))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


