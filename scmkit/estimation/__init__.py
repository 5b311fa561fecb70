"""Codes per key value and seconds per call: models, and fits to what was seen."""
