"""What `check` looks at beyond the plan, reading only: one file for each subject."""
