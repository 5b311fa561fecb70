"""What is sent, in which calls, and when each probably ends."""
