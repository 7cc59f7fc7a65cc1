"""The language server: what `policylang.editing` knows, in the protocol of editors."""
