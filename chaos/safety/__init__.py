"""Before a fault: guards, the lease. During: stop conditions. Always: undo records before the change."""
