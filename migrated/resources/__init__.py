"""What an open descriptor needs to be given up and made again."""
