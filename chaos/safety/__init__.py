"""Before: guards. Always: undo records on disk before the change that needs them."""
