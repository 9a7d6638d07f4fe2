"""What the machine under a server does to it: silence, loss, delay, no power, no space."""
