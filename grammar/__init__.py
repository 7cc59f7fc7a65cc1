"""The grammar of the policy language, as files."""
