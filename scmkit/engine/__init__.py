"""Decisions about an upload without I/O: policy, call sizes, tasks, and what the answers prove."""
