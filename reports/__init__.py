"""A run's folder, told to people: HTML, terminal text and JUnit."""
