"""The only importer of boto3: the RDS API in our words, its errors as ours."""
