"""The documents of the OCI runtime specification as immutable records, checked as they convert."""

OCI_VERSION = "1.3.0"
"""The version of the specification that this runtime follows."""
