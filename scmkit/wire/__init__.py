"""One exchange with the service: client, transport, token, pace."""
