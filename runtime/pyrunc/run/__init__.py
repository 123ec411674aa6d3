"""The executor: the loop over a plan's ops, the fork, the barriers, the seal."""
