"""Kill -9 of the runner right before and right after every record of its journal."""
