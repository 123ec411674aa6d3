"""Attacks that other runtimes fell for, carried out: each on our own guard, and on a helper that has none.

docs/security.md has the table: which attack, which guard, which test, and what remains.  A test is one of three kinds:

    test_...            the attack on the runtime; then it is looked whether the host is as it was
    test_..._bites      the same by a naive helper (naive.py, or beside the test), which the same assertion must catch
    other               what belongs to the subject, and has no row of its own

Nothing here harms, or gets past, any program but the one under test.
"""
