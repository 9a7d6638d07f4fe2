"""CloudWatch's side of the test cluster: samples of every instance, and alarms over them.

    sampling (once a second) --> store --> statistics --> the API, and alarms

RDS publishes a datapoint a minute. Here a sample is taken each second and kept for three hours, so that
periods of 60 s and more give what AWS would, and periods of 1, 5, 10 and 30 s work as well, which on
AWS they do not for RDS's metrics.
"""
