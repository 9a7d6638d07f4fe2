"""Aurora Serverless v2: capacity that follows load, is felt, and pauses at 0 ACU.

bounds    what AWS accepts            settings  what a capacity means for PostgreSQL
capacity  how it follows load         pausing   who pauses, who wakes with whom
census    whose processes took what   share     the processors' bounded share
life      all of it, happening to one cluster
"""
