"""Exit codes of fleetctl and fleet-agent. Scripts rely on them."""

OK = 0
ERROR = 1  # anything without a code of its own; `doctor` found something broken
USAGE = 2  # a bad flag or a bad field
NOT_FOUND = 3
PRECONDITION = 4  # not legal in the present state, or somebody else was there first
UNAVAILABLE = 5  # the daemon cannot be reached, is overloaded, or the time was over
TASK_FAILED = 10  # the task that was waited for did not complete
INTERRUPTED = 130  # as a shell says it for SIGINT
