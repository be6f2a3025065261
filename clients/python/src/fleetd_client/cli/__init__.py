"""The command line tools of the client distribution: fleetctl for operators, fleet-agent for programs that shall be agents."""
