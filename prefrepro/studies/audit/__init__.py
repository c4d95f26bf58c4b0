"""What can be said of printed numbers without running anything."""
