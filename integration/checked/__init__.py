"""Whether `check` says before what `create` and `start` say: real configurations, changed, and both asked (script/checked.py)."""
