"""What the daemon says about itself: logs now, metrics and traces later."""
