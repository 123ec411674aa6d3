"""Profile -> BPF: compiled by libseccomp once, then taken from a cache."""
