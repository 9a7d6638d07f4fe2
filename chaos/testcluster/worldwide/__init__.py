"""Global clusters, whose members are in different Regions."""
