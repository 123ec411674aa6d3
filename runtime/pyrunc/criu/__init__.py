"""CRIU (criu.org), which takes containers down to files and brings them back; loaded by checkpoint and restore only."""
