"""What clients feel, and whether data is lost, when Amazon Aurora fails over."""

__version__ = "0.1.0"
