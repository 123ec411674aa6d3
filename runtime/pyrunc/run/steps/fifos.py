"""Names of the fifos between `start` and the waiting init, and the bytes sent through them."""

from __future__ import annotations

GO, STARTED = b"0", b"x"
FIFO, RESULT = "exec.fifo", "result.fifo"
