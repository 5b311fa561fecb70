"""What every room uses: the contract, errors, cells as text, values, events, checked arguments, escaped HTML."""
