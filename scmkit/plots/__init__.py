"""Pictures: a result in, axes out."""
