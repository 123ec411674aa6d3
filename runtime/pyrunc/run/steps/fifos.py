"""What `start` and the waiting init agree on.  Apart from start.py, whose wire most commands need not load."""

from __future__ import annotations

GO, STARTED = b"0", b"x"
FIFO, RESULT = "exec.fifo", "result.fifo"
