"""buildah: images built with the runtime under test."""

from __future__ import annotations

import json

import pytest

from integration.engines import documented
from integration.engines.conftest import need
from integration.engines.image import NAME
from integration.engines.podman import Engine
from integration.looking import fields

need("buildah")
pytestmark = pytest.mark.slow_vm


@pytest.fixture(scope="module")
def engine(place, binary, image):
    made = Engine("buildah", place, binary)
    made("pull", "--quiet", f"docker-archive:{image}")
    yield made
    made("rm", "--all")
    made.check()


@pytest.fixture
def buildah(engine):
    yield engine
    used, engine.used = engine.used, []
    for name in used:
        engine("rmi", "--force", name, check=False)


class Builder:
    """Builds images from a Dockerfile; what each step wrote is in the output."""

    def __init__(self, buildah, directory):
        self.buildah, self.directory = buildah, directory
        self.image = "localhost/" + buildah.new_name()
        buildah.used[-1] = self.image

    def __call__(self, *lines, options=(), check=True):
        """Build from NAME and LINES; return the command with what it wrote."""
        (self.directory / "Dockerfile").write_text("\n".join([f"FROM {NAME}", *lines, ""]))
        options = ("--network=none", "--isolation=oci", "--no-cache", "--pull-never", *options)
        return self.buildah("build", *options, "--tag", self.image, self.directory, check=check)

    def file(self, path):
        """Return what the file at PATH of the image holds."""
        name = self.buildah.output("from", "--pull-never", self.image)
        root = self.buildah.output("mount", name)
        text = self.buildah.place.run("cat", root + path).stdout
        self.buildah("rm", name)
        return text


@pytest.fixture
def build(buildah, tmp_path):
    return Builder(buildah, tmp_path)


@pytest.fixture
def container(buildah):
    """Return the name of a working container."""
    name = buildah.output("from", "--pull-never", "--isolation=oci", NAME)
    yield name
    buildah("rm", name)


def words(text):
    """Return the lines of TEXT, without buildah's own."""
    return [line for line in text.splitlines() if not line.startswith(("STEP", "COMMIT", "-->", "Successfully", "Getting"))]


# Dockerfiles


def test_a_step_runs_and_its_files_stay(build):
    done = build("RUN echo in the step && echo kept >/made", 'RUN ["/bin/sh", "-c", "cat /made"]')
    assert words(done.stdout)[:2] == ["in the step", "kept"]
    assert build.file("/made") == "kept\n"


def test_each_step_is_run_by_the_runtime_under_test(build, buildah):
    before = len(buildah.argvs())
    build("RUN true", "RUN true")
    commands = [next(word for word in argv if not word.startswith("-")) for argv in buildah.argvs()[before:]]
    assert commands.count("create") == commands.count("start") == 2, commands
    assert commands.count("delete") == 2, commands


def test_a_step_has_environment_user_and_directory(build):
    done = build(
        "ENV GIVEN=by-env",
        "ARG PASSED",
        "USER app",
        "WORKDIR /data",
        "RUN echo $GIVEN $PASSED $FROM_IMAGE $(id -u) $(pwd)",
        options=["--build-arg=PASSED=by-arg"],
    )
    assert words(done.stdout)[0] == "by-env by-arg yes 1000 /data"


def test_a_step_with_another_shell(build):
    done = build('SHELL ["/bin/sh", "-e", "-c"]', "RUN false; echo not here", options=["--format=docker"], check=False)
    assert done.returncode != 0
    assert "not here" not in words(done.stdout)


@pytest.mark.parametrize(("command", "status"), [("exit 7", 7), ("missing-program", 127), ("/bin/not-executable", 126)])
def test_a_step_that_fails_ends_the_build(build, command, status):
    done = build(f"RUN {command}", "RUN echo not reached", check=False)
    assert done.returncode == status, done
    assert f"exit status {status}" in done.stderr
    assert "not reached" not in words(done.stdout)


def test_a_step_that_cannot_be_started(build):
    done = build('RUN ["/bin/missing"]', check=False)
    assert done.returncode != 0
    assert "no such file or directory" in done.stderr


def test_a_cache_that_outlives_the_build(build):
    step = "RUN --mount=type=cache,target=/cache echo x >>/cache/runs; wc -l </cache/runs"
    assert words(build(step).stdout)[0] == "1"
    assert words(build(step).stdout)[0] == "2"


def test_mounts_of_a_step(build):
    (build.directory / "context").write_text("from the context\n")
    (build.directory / "secret").write_text("hidden\n")
    done = build(
        "RUN --mount=type=bind,source=context,target=/there cat /there",
        "RUN --mount=type=secret,id=s cat /run/secrets/s",
        "RUN --mount=type=tmpfs,target=/t stat -f -c %T /t",
        options=[f"--secret=id=s,src={build.directory}/secret"],
    )
    assert words(done.stdout)[:3] == ["from the context", "hidden", "tmpfs"]


def test_a_volume_for_the_build(build, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    done = build(
        "RUN echo out >/v/file; echo >/ro/file || echo refused", options=[f"--volume={outside}:/v", f"--volume={outside}:/ro:ro"]
    )
    assert (outside / "file").read_text() == "out\n"
    assert words(done.stdout)[0] == "refused"


def test_several_stages(build):
    build("RUN echo built >/result", f"FROM {NAME}", "COPY --from=0 /result /result", "RUN test -s /result")
    assert build.file("/result") == "built\n"


def test_limits_of_a_build(build):
    done = build(
        "RUN ulimit -n; cat /proc/self/cgroup | head -n 1",
        options=["--ulimit=nofile=99:99", "--ulimit=nproc=512:512", "--memory=64m"],
    )
    assert words(done.stdout)[0] == "99"


# Working containers


def test_from_run_config_commit(buildah, container, build):
    assert buildah.output("run", "--network=none", container, "sh", "-c", "echo done >/made; echo said") == "said"
    buildah("config", "--cmd", "cat /made", "--env", "ADDED=1", container)
    buildah("commit", "--quiet", container, build.image)
    settings = json.loads(buildah.output("inspect", "--type=image", build.image))["OCIv1"]["config"]
    assert settings["Cmd"] == ["cat", "/made"]
    assert "ADDED=1" in settings["Env"]
    assert build.file("/made") == "done\n"


def test_run_ends_with_the_status_of_the_program(buildah, container):
    assert buildah("run", "--network=none", container, "sh", "-c", "exit 5", check=False).returncode == 5


def test_run_passes_standard_input_on(buildah, container):
    assert buildah("run", "--network=none", container, "wc", "-c", input="12345").stdout.strip() == "5"


def test_run_with_capabilities_and_another_user(buildah, container):
    def status(*options):
        return fields(buildah.output("run", "--network=none", *options, container, "cat", "/proc/self/status"))

    usual = int(status()["CapEff"], 16)
    assert int(status("--cap-drop=CAP_CHOWN", "--cap-add=CAP_SYS_TIME")["CapEff"], 16) == usual & ~1 | 1 << 25
    assert status("--user=app")["Uid"].split() == ["1000"] * 4


def test_run_without_a_network(buildah, container):
    assert buildah.output("run", "--network=none", container, "ls", "/sys/class/net") == "lo"


def test_run_with_a_volume_and_a_hostname(buildah, container, tmp_path):
    (tmp_path / "file").write_text("from outside\n")
    command = (
        "run",
        "--network=none",
        f"--volume={tmp_path}:/v:ro",
        "--hostname=named",
        container,
        "sh",
        "-c",
        "cat /v/file; hostname; >/v/x",
    )
    done = buildah(*command, check=False)
    assert done.stdout == "from outside\nnamed\n"
    assert "read-only file system" in done.stderr.lower()


def test_run_by_a_runtime_that_is_named(buildah, container):
    before = len(buildah.argvs())
    done = buildah("run", "--network=none", "--runtime", buildah.wrapper, "--runtime-flag=debug", container, "echo", "named")
    assert done.stdout == "named\n"
    asked = buildah.argvs()[before:]
    assert {argv[0] for argv in asked} == {"--debug"}


def test_the_commands_of_the_documentation(buildah):
    drop_in = documented.blocks("Podman")[0]
    commands = [line for block in documented.blocks("buildah") for line in block.splitlines()]
    (buildah.directory / "Dockerfile").write_text(f"FROM {NAME}\nRUN true\n")
    before = len(buildah.argvs())
    with buildah.documented(drop_in) as typed:
        said = [typed(command) for command in commands]
    assert "uid=0(root) gid=0(root)" in "".join(said)
    assert len([argv for argv in buildah.argvs()[before:] if "create" in argv]) == 3


def test_pyrunc_understands_what_buildah_asks(buildah):
    from pyrunc.cli.parse import parse_command, parse_general

    asked = buildah.argvs()
    assert {word for argv in asked for word in argv} >= {"create", "start", "state", "delete"}
    for argv in asked:
        general, place = parse_general(argv)
        parse_command(argv, place, general)
