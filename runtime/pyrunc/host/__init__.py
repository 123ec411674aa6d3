"""One probe of this machine, as facts that the planner chooses by."""
