"""The commit of the source that this was built from, for `--version`; setup.py and debian/rules write it (script/commit.py)."""

COMMIT = "unknown"  # an editable installation's, whose source may change at any time
