"""Sessions of an application: with the local daemon, or alone."""
