"""What the exit code of `fleetd` says; part of the interface, never renumbered."""

OK = 0  # a clean stop
UNEXPECTED = 1  # a defect: the log holds the traceback
USAGE = 2  # bad flags or configuration, or a file it names is unusable: a restart cannot help
DATA_DIR = 3  # the data directory is locked, corrupt, or of a newer fleetd: a restart cannot help
BIND = 4  # the address cannot be listened on
DRAIN_TIMEOUT = 5  # the drain deadline passed with work under way: its leases end by themselves
STORE_UNCLEAR = 6  # whether the last commit happened cannot be read: a restart finds out
