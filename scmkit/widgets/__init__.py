"""The board, the explorer, the live line, and what all widgets share."""
