"""The methods of fleet.v1: messages in, commands to the engine, messages out. Nothing here knows a transport."""
