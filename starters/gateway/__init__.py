"""Reviews over HTTP: a typed ASGI application in front of the same domain code that the command line uses."""
