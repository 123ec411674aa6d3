"""The documents of the OCI runtime specification as immutable records, checked as they convert."""
