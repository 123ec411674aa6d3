"""The command line: one table of commands, one parser, one file for each command."""
