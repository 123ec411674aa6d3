"""The steps: what an op of a plan does that needs more than one system call, or the context; one file for each subject."""
