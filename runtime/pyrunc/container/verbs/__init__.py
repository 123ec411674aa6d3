"""The verbs: one file for each command, with what that command alone does."""
