"""The embedded cluster: PostgreSQL processes behind an RDS-shaped API and a DNS server.

It is reached as AWS is: over HTTP, DNS and the database port. Its durations are modelled.

    process ------- one server process for an estate; starting, finding and ending it
    api ----------- RDS, CloudWatch, STS and tagging over HTTP; the control address
    names --------- the name server
    disturbances -- what is asked of the control address: faults, planted defects
    estate -------- all resources, by Region
      aurora ------ one Aurora cluster      worldwide --- global clusters
      standalone -- RDS for PostgreSQL      parameters -- parameter groups
      serverless -- capacity and pausing    security ---- TLS, passwords, IAM tokens
      metrics ----- samples and alarms
        postgres -- one PostgreSQL server   machine ----- what its machine does to it
    exec ---------- any program, with a test cluster where AWS would be
"""
