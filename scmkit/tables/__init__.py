"""Files and frames of any kind to tables and back, and the codes of an inventory counted."""
