"""A plan played many times: its risk, its alternatives, and capacity planning."""
