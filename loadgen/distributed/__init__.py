"""Traffic from several machines: Locust's master and workers, clocks aligned, records collected.

The runner has a process beside it that holds Locust's master (`master_process`); each worker is a
process that holds one of Locust's workers (`worker_process`) and runs the arms' own processes, as a
local run does (`loadgen.traffic`). Membership, heartbeats and messages are Locust's. What is ours:
strangers are kept out (`channel`), instants are put on the runner's clock with a bound on the error
(`clock`), and records reach the run folder while the run lasts (`shipping`, `collecting`).
"""
