"""Who may connect: certificates, passwords, IAM tokens."""
