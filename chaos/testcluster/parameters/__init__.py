"""Parameter groups: what they offer, what they hold, what instances make of them."""
