"""The test cluster's RDS API: AWS's Query protocol, driven by botocore's own service model.

`codec` speaks the protocol and knows no operation; `actions` holds the offered operations and knows
no protocol; `server` joins them behind HTTP and adds the cluster's own control address.
"""
