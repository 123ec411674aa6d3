"""Register pyrunc with an engine: what its configuration has to say, and how to take that back.  Nothing here prints."""
