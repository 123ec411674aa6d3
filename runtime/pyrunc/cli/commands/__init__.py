"""One file for each command: its options become a call of the container layer."""
