"""The job and its thread, the state of each row, progress, read-back, resume: where tables and wire meet."""
