"""An SSH server whose sessions outlive their connections and its own processes."""
