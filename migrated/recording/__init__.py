"""What the daemon writes down of its events, so that a policy can be tried on them later."""
