"""Text to experiment: strict, with errors that name file, line, column and what is allowed."""
