"""The process that does the work of the library: `serve` is its life, `worker` one call of it."""
