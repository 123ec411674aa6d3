"""What only a runtime in Python could get wrong: files of an image, a directory or an environment that it would run.

A hostile file, wherever Python, the dynamic loader or the C library might look for one, leaves a mark
when it is loaded.  The mark has the same path on the host and in the container.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from integration.looking import compiled, interpreter
from integration.security.naive import caught

if TYPE_CHECKING:
    from integration.harness.bundle import Bundle
    from integration.harness.runtime import Runtime

PYTHON = "/usr/bin/python3"
# Those that a start, an error, a codec or a traceback would want, in every directory; the others once.
FIRST = """
    os posixpath stat io abc codecs encodings site sitecustomize usercustomize linecache traceback tokenize
    json re enum functools collections typing dataclasses subprocess signal socket selectors threading random
    contextlib warnings types copyreg pathlib argparse gettext locale pwd grp ctypes struct errno logging pyrunc
    prctl pyseccomp seccomp psutil jsonschema importlib _posixsubprocess _socket _ctypes _json zipimport
""".split()
CODECS = ("__init__", "aliases", "utf_8", "ascii", "latin_1", "idna", "unicode_escape", "punycode")
LIBRARIES = "libnss_files.so.2 libnss_dns.so.2 libnss_evil.so.2 libc.so.6 libpthread.so.0 libseccomp.so.2".split()


@pytest.fixture
def mark(tmp_path):
    """Return where a hostile file leaves its mark."""
    return tmp_path / "mark"


def source(mark: Path) -> str:
    """Return a Python module that marks; it needs nothing but builtins, however early it is imported."""
    flags = "posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND"
    return f"import posix\nposix.write(posix.open({str(mark)!r}, {flags}), b'module\\n')\n"


def library(mark: Path) -> Path:
    """Return a shared library that marks when it is loaded."""
    text = f"""
        #include <fcntl.h>
        #include <unistd.h>
        __attribute__((constructor)) static void hit(void)
        {{
            int fd = open("{mark}", O_WRONLY | O_CREAT | O_APPEND, 0666);
            write(fd, "library\\n", 8);
            close(fd);
        }}
    """
    return compiled(text, "-shared", "-fPIC")


def python(runtime: Runtime) -> str:
    """Return the interpreter to try the poison with: the runtime's own, if it has one."""
    if runtime.name != "pyrunc":
        return PYTHON
    found = interpreter(runtime)
    return str(found) if found.name.startswith("python") else PYTHON  # of the native program, which hands over to it


def search_path(runtime: Runtime) -> list[str]:
    """Return every directory that the runtime's interpreter may import from."""
    code = "import sys, sysconfig, pprint; print('\\n'.join([*sys.path, *sysconfig.get_paths().values()]))"
    found = subprocess.run([python(runtime), "-c", code], capture_output=True, text=True, check=True, cwd="/")
    named = re.findall(r"/[\w./-]+", Path(runtime.binary).read_text(errors="ignore")[:4096])
    near = [str(Path(runtime.binary).resolve().parents[1] / "lib/python3.11/site-packages"), *named]
    return sorted({path for path in [*found.stdout.split(), *near] if path.startswith("/") and len(path) > 1})


def poison_python(root: Path, directories: list[str], mark: Path) -> None:
    """Fill DIRECTORIES below ROOT with hostile modules."""
    text = source(mark)
    for directory in directories:
        place = root / directory.lstrip("/")
        if place.exists() and not place.is_dir():
            continue
        place.mkdir(parents=True, exist_ok=True)
        for name in FIRST:
            (place / f"{name}.py").write_text(text)
        for name in sorted(sys.stdlib_module_names) if directory.endswith("python3.11") else ():
            (place / f"{name}.py").write_text(text)
        for package, names in (("encodings", CODECS), ("pyrunc", ("__init__", "boot", "errors", "log", "jsonio"))):
            (place / package).mkdir(exist_ok=True)
            for name in names:
                (place / package / f"{name}.py").write_text(text)
        (place / "evil.pth").write_text(text.replace("\n", "; "))
        for name in ("_socket", "_ctypes", "_json", "fcntl"):
            shutil.copy(library(mark), place / f"{name}.cpython-311-x86_64-linux-gnu.so")


def poison_loader(root: Path, mark: Path) -> None:
    """Put hostile libraries and their configuration where the dynamic loader and NSS look."""
    for directory in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib", "lib"):
        (root / directory).mkdir(parents=True, exist_ok=True)
        for name in LIBRARIES:
            shutil.copy(library(mark), root / directory / name)
    (root / "usr/lib/x86_64-linux-gnu/gconv").mkdir()
    shutil.copy(library(mark), root / "usr/lib/x86_64-linux-gnu/gconv/EVIL.so")
    (root / "etc/ld.so.preload").write_text("/lib/libc.so.6\n")
    (root / "etc/nsswitch.conf").write_text("passwd: evil files\ngroup: evil files\nhosts: evil dns\n")
    (root / "etc/localtime").write_bytes(b"TZif evil")


def poisoned(runtime: Runtime, b: Bundle, mark: Path) -> Bundle:
    """Poison the rootfs of B with everything above."""
    (b.rootfs / str(mark.parent).lstrip("/")).mkdir(parents=True)
    poison_python(b.rootfs, search_path(runtime), mark)
    poison_loader(b.rootfs, mark)
    return b


def clean(b: Bundle, mark: Path) -> None:
    """Check that nothing hostile was loaded, on the host or in B."""
    for place in (mark, b.rootfs / str(mark).lstrip("/")):
        assert not place.exists(), place.read_text()


def test_the_poison_works(runtime, bundle, mark):
    """A python3 that enters such a root and imports leaves the mark: so the files lie where they should."""
    b = poisoned(runtime, bundle(), mark)
    code = f"import os; os.chroot({str(b.rootfs)!r}); os.chdir('/'); import json, encodings.idna"
    subprocess.run([python(runtime), "-c", code], check=False, capture_output=True)
    with caught():
        clean(b, mark)


def test_names_of_users_work_too(runtime, bundle, mark):
    """Who asks the C library for a user, with the image in sight, has it load the image's NSS modules."""
    b = poisoned(runtime, bundle(), mark)
    code = f"import os, pwd, sys; os.chroot({str(b.rootfs)!r}); os.chdir('/')\ntry: pwd.getpwnam('nobody-here')\nexcept KeyError: pass"
    subprocess.run([PYTHON, "-c", code], check=False, capture_output=True)
    with caught():
        clean(b, mark)


def test_a_library_works_too(bundle, mark):
    subprocess.run([PYTHON, "-c", f"import ctypes; ctypes.CDLL({str(library(mark))!r})"], check=True)
    assert mark.read_text() == "library\n"


# A poisoned root


def test_run(runtime, bundle, mark):
    b = poisoned(runtime, bundle("echo ran; id -u"), mark)
    assert runtime.output(b).split() == ["ran", "0"]
    clean(b, mark)


def test_everything_that_a_config_can_ask_for(runtime, bundle, mark):
    b = poisoned(runtime, bundle("cat", "/proc/self/status"), mark)
    b.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [50], "umask": 0o27}
    b.process["cwd"] = "/made"
    b.config["hostname"] = "poisoned"
    b.mount("/data/new", "tmpfs", "tmpfs", "size=64k")
    b.linux["devices"] = [{"path": "/dev/special", "type": "c", "major": 1, "minor": 5}]
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    b.linux["maskedPaths"] = ["/etc/group", "/home"]
    rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO"}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert "Seccomp:\t2" in runtime.output(b)
    clean(b, mark)


def test_exec(runtime, bundle, mark):
    b = poisoned(runtime, bundle(), mark)
    name = runtime.start(b)
    assert runtime.exec(name, "echo", "ran").stdout == "ran\n"
    assert runtime("exec", "--user", "1000:50", "--cwd", "/tmp", name, "id", "-u").stdout == "1000\n"
    runtime.exec(name, "/no/such/program", check=False)
    runtime("exec", "--cwd", "/no/such/directory", name, "true", check=False)
    runtime("exec", "--user", "nobody-here", name, "true", check=False)
    runtime("ps", name)
    clean(b, mark)


def test_a_user_namespace(runtime, bundle, mark):
    b = poisoned(runtime, bundle("id", "-u"), mark)
    b.namespace("user")
    for kind in ("uidMappings", "gidMappings"):
        b.linux[kind] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    assert runtime.output(b) == "0\n"
    clean(b, mark)


def fail(b: Bundle, how: str) -> None:
    """Change B so that it fails, past the point where the image is in sight."""
    if how == "program":
        b.process["args"] = ["/no/such/program"]
    elif how == "search":
        b.process["args"] = ["no-such-program"]
    elif how == "format":
        b.process["args"] = ["/etc/passwd-program"]
        (b.rootfs / "etc/passwd-program").write_bytes(b"\0\1\2\3")
        (b.rootfs / "etc/passwd-program").chmod(0o755)
    elif how == "letters":
        b.process["args"] = ["/no/\u00e4\u4e2d\udcff\U0001f600"]
    elif how == "cwd":
        b.process["cwd"] = "/etc/passwd"
    elif how == "mount":
        b.mount("/data", "tmpfs", "tmpfs", "size=nonsense")
    elif how == "device":
        b.linux["devices"] = [{"path": "/etc/passwd", "type": "c", "major": 1, "minor": 5}]
    elif how == "sysctl":
        b.linux["sysctl"] = {"net.ipv4.ip_forward": "nonsense"}
    elif how == "rlimit":
        b.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 0, "hard": 0}]
    elif how == "hook":
        b.config["hooks"] = {"startContainer": [{"path": "/no/such/hook"}]}
    elif how == "hook-fails":
        b.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}


WAYS = "program search format letters cwd mount device sysctl rlimit hook hook-fails".split()


@pytest.mark.parametrize("how", WAYS)
def test_an_error_past_the_root(runtime, bundle, mark, how):
    """Its message is made without a module of the image's, and is the same as over a clean root."""
    b, other = poisoned(runtime, bundle("true"), mark), bundle("true")
    fail(b, how)
    fail(other, how)
    done, usual = runtime.run(b, check=False), runtime.run(other, check=False)
    clean(b, mark)
    assert done.returncode == usual.returncode
    if runtime.name == "pyrunc":
        known = [(str(b.path), ""), (str(other.path), ""), (runtime.ids[-1], ""), (runtime.ids[-2], "")]
        texts = []
        for text in (done.stderr, usual.stderr):
            for old, new in known:
                text = text.replace(old, new)
            texts.append(text)
        assert texts[0] == texts[1]
        assert "Traceback" not in done.stderr
        assert "import of" not in done.stderr


def test_debug_and_logs(runtime, bundle, mark):
    b = poisoned(runtime, bundle("/no/such/program"), mark)
    name = runtime._prepare(b)
    log = runtime.directory / "log"
    words = ("--debug", "--log", str(log), "--log-format", "json", "run", "--bundle", str(b.path), name)
    done = runtime(*words, check=False)
    assert done.returncode == 1
    assert "no such file or directory" in log.read_text()
    clean(b, mark)


# A hostile current directory and environment


HOSTILE = {
    "PYTHONPATH": "{here}",
    "PYTHONHOME": "{here}",
    "PYTHONSTARTUP": "{here}/os.py",
    "PYTHONINSPECT": "1",
    "PYTHONVERBOSE": "1",
    "PYTHONPROFILEIMPORTTIME": "1",
    "PYTHONDEVMODE": "1",
    "PYTHONTRACEMALLOC": "5",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONWARNINGS": "error",
    "PYTHONBREAKPOINT": "evil.run",
    "PYTHONPYCACHEPREFIX": "{here}/cache",
    "PYTHONIOENCODING": "rot13",
    "PYTHONUSERBASE": "{here}",
    "PYTHONPLATLIBDIR": "{here}",
    "PYTHONCASEOK": "1",
    "PYTHONDUMPREFS": "1",
    "LC_ALL": "xx_YY.nonsense",
    "LANGUAGE": "xx",
    "HOME": "{here}",
    "TMPDIR": "{here}",
}


@pytest.fixture
def hostile(tmp_path, mark):
    """Return options for a command: a current directory and an environment that mean evil."""
    here = tmp_path / "hostile"
    poison_python(here, ["/"], mark)
    poison_python(here, ["/lib/python3.11", "/lib/python3.11/site-packages", "/.local/lib/python3.11/site-packages"], mark)
    env = {name: value.format(here=here) for name, value in HOSTILE.items()}
    return {"cwd": str(here), "env": {"PATH": os.environ["PATH"], **env}}


def test_a_hostile_directory_and_environment(runtime, bundle, hostile, mark):
    b = bundle("env")
    b.process["env"] = ["PATH=/bin", "HOME=/x"]
    exactly(runtime.output(b, **hostile), "HOME=/x", "PATH=/bin")
    clean(b, mark)


def exactly(text: str, *variables: str) -> None:
    """Check that TEXT, of env(1), has the VARIABLES and no other."""
    assert sorted(text.split()) == sorted(variables)


def test_the_environment_is_what_it_should_be(runtime, bundle):
    """CPython adds LC_CTYPE where the locale is C: not to the container's, whether by run, exec or a hook."""
    b = bundle()
    b.process["env"] = ["PATH=/bin", "HOME=/x"]
    b.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "env >/data/env"], "env": ["ONLY=this"]}]}
    bare = {"PATH": os.environ["PATH"]}
    name = runtime.start(b, env=bare)
    exactly(runtime("exec", name, "env", env=bare).stdout, "HOME=/x", "PATH=/bin")
    own = ("PWD=", "OLDPWD=", "SHLVL=", "_=", "PATH=")
    exactly("\n".join(line for line in (b.rootfs / "data/env").read_text().split() if not line.startswith(own)), "ONLY=this")


def test_the_environment_is_what_it_should_be_bites():
    code = "import os; os.execve('/usr/bin/env', ['env'], os.environ)"
    done = subprocess.run([PYTHON, "-c", code], env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    with caught():
        exactly(done.stdout, "PATH=/bin")


@pytest.mark.parametrize("name", ["PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"])
def test_an_executable_of_the_environment(runtime, bundle, name, tmp_path):
    """It is taken for our own path (SECURITY.md, "Known limits"); one that leads to no library changes nothing."""
    shutil.copy("/usr/bin/true", tmp_path / "true")
    for value in ("/no/such/python3", "python3", str(tmp_path / "true")):
        assert runtime.output(bundle("echo", "ran"), env={"PATH": os.environ["PATH"], name: value}) == "ran\n"


@pytest.fixture
def loader(tmp_path, mark):
    """Return an environment by which the dynamic loader, the C library and Python's search for its own library are turned to evil."""
    here = tmp_path / "loader"
    (here / "etc").mkdir(parents=True)
    poison_loader(here, mark)
    poison_python(here, ["/lib/python3.11", "/lib/python3.11/lib-dynload", "/lib/python3.11/encodings"], mark)
    (here / "bin").mkdir(exist_ok=True)
    shutil.copy(PYTHON, here / "bin/python3")
    evil = str(library(mark))
    names = {"LD_PRELOAD": evil, "LD_AUDIT": evil, "LD_LIBRARY_PATH": str(here / "usr/lib"), "GCONV_PATH": str(here / "usr/lib")}
    names |= {"LOCPATH": str(here), "GLIBC_TUNABLES": "glibc.malloc.check=3", "MALLOC_PERTURB_": "85", "MALLOC_ARENA_MAX": "1"}
    names |= dict.fromkeys(("PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__"), str(here / "bin/python3"))
    return {"PATH": os.environ["PATH"], **names}


def test_the_loader_can_be_turned_to_evil(loader, mark):
    """Where there is one, and where Python looks for its library."""
    for name, left in (("LD_PRELOAD", "library\n"), ("LD_AUDIT", "library\n"), ("PYTHONEXECUTABLE", "module\n")):
        subprocess.run([PYTHON, "-IS", "-c", "import json"], env={name: loader[name]}, check=False, capture_output=True)
        assert left in mark.read_text(), name
        mark.unlink()


def test_no_variable_turns_the_native_program_to_evil(runtime, bundle, loader, mark):
    """Neither it nor what it has do the one thing that it cannot (seccomp/apart.py): the script, without an environment."""
    with open(runtime.binary, "rb") as file:
        if runtime.name != "pyrunc" or file.read(4) != b"\x7fELF":
            pytest.skip("the runtime is no native program")
    b = bundle("sleep", "1000")
    rule = {"names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    name = runtime.create(b, env=loader)
    for words in (("start", name), ("state", name), ("exec", name, "true"), ("pause", name), ("resume", name), ("--version",)):
        runtime(*words, env=loader)
    assert runtime("exec", name, "/no/such/program", check=False, env=loader).returncode == 255
    for words in (("kill", name, "KILL"), ("delete", "--force", name), ("features",)):
        runtime(*words, env=loader)
    clean(b, mark)


def test_every_command_in_a_hostile_directory(runtime, bundle, hostile, mark):
    b = bundle()
    name = runtime._prepare(b)
    words = ("create", "--bundle", str(b.path), name)
    runtime(*words, **{**hostile, "stdout": -3, "stderr": -3})
    for command in ("state", "start"):
        runtime(command, name, **hostile)
    assert runtime("exec", name, "echo", "ran", **hostile).stdout == "ran\n"
    for words in (("list",), ("ps", name), ("pause", name), ("resume", name), ("--help",), ("--version",)):
        runtime(*words, **hostile)
    runtime("kill", name, "KILL", **hostile)
    runtime("delete", "--force", name, **hostile)
    for words in (("state", name), ("nonsense",), ("exec", "--nonsense", name), ("run", name)):
        assert "Traceback" not in runtime(*words, check=False, **hostile).stderr
    clean(b, mark)


def test_a_hostile_directory_works(bundle, hostile, mark):
    """A script of Python's that is started like any other runs what is there."""
    subprocess.run([PYTHON, "-c", "import json"], check=False, capture_output=True, **hostile)
    with caught():
        clean(bundle(), mark)


def test_a_bundle_that_is_a_hostile_directory(runtime, bundle, hostile, mark):
    """Engines start a runtime in the bundle, which may be made by whoever made the image."""
    b = bundle("echo", "ran")
    poison_python(b.path, ["/"], mark)
    name = runtime.new_id()
    b.linux["cgroupsPath"] = f"/{name}-parent/{name}"
    b.save()
    assert runtime("run", name, **{**hostile, "cwd": str(b.path)}).stdout == "ran\n"
    assert runtime("features", check=False, cwd=str(b.path)).returncode in (0, 1)
    clean(b, mark)


def test_hooks_get_their_own_environment(runtime, bundle, hostile, mark, tmp_path):
    b = bundle("true")
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\n/usr/bin/env >{tmp_path}/seen\n")
    hook.chmod(0o755)
    b.config["hooks"] = {"createRuntime": [{"path": str(hook), "env": ["ONLY=this"]}]}
    runtime.run(b, **hostile)
    names = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"ONLY"}
    clean(b, mark)
