"""What authors of policies need beyond the language: simulated time, tests, replay of logs."""
