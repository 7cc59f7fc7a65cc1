"""The rule engine: world and policy in, decisions out; no input, no output, no clock."""
