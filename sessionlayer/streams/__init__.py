"""Virtual streams without input and output: counted bytes, replay, resumption."""
