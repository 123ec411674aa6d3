"""What CRIU says in its log about a failure, as one error of ours."""

from __future__ import annotations

import posix

from pyrunc.errors import OpError

TAIL = 1 << 18  # bytes of the log that are searched
LINES_MAX, LINE_MAX = 4, 300
NOT_HERE = "this CRIU cannot work with this kernel: criu check says more, and a newer CRIU may"
# What CRIU complains about -> what to do.
HINTS = (
    ("kerndat", NOT_HERE),
    ("vdso", NOT_HERE),
    (".img: Permission denied", "root of the user namespace must get into the directory of the image: chmod 711"),
    ("restore file pos: Illegal seek", "a standard stream that was a file must be a file again, and no pipe"),
    ("has bad size", "the standard streams must be the same files as before, opened for appending"),
    ("TCP socket", "allow connections by --tcp-established"),
    ("tcp_established", "allow connections by --tcp-established"),
    ("ext-unix-sk", "allow sockets whose other end is outside by --ext-unix-sk"),
    ("xternal socket", "allow sockets whose other end is outside by --ext-unix-sk"),
    ("shell-job", "allow a terminal that belongs to the caller by --shell-job"),
    ("file locks", "allow file locks by --file-locks"),
    ("link-remap", "allow files that were deleted while open by --link-remap"),
)


def failed(doing: str, log: str, answer: dict[str, object]) -> OpError:
    """Return the error for ANSWER of CRIU, which was DOING something and has written to the file at LOG."""
    lines = last_errors(log)
    said = str(answer.get("cr_errmsg") or "").strip()
    number = answer.get("cr_errno")
    if not lines:
        lines = [said or ("it ended without an answer" if not answer else f"it does not say why (errno {number or 0})")]
    hint = next((advice for sign, advice in HINTS if any(sign in line for line in (*lines, said))), "")
    return OpError(f"criu failed to {doing}: {'; '.join(lines)}; log file: {log}", hint=hint)


def last_errors(log: str) -> list[str]:
    """Return the last errors in the file at LOG, without times; none if it cannot be read."""
    try:
        fd = posix.open(log, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return []
    try:
        size = posix.fstat(fd).st_size
        text = str(posix.pread(fd, TAIL, max(0, size - TAIL)), "utf-8", "replace")
    finally:
        posix.close(fd)
    found = [line[line.index("Error (") :] for line in text.splitlines() if "Error (" in line]
    return [line.strip()[:LINE_MAX] for line in found[-LINES_MAX:]]
