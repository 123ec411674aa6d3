"""Containers: their states and transitions, the directory that remembers them, one file for each verb."""
