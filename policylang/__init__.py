"""Policy text to a checked syntax tree, with diagnostics that name line and column."""
