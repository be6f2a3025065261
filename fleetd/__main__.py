"""`python -m fleetd` is `fleetd`."""

from fleetd.cli import main

main()
