"""The rules: synchronous, standard library only, `now` is an argument. No clock, no I/O, no asyncio, grpc, SQL or logging."""
