"""Running any unmodified program beside a test cluster, as if the cluster were on AWS.

    launch ---- environment   variables: libpq's, the AWS SDKs'
            --- namespace     a network of the program's own, its resolv.conf
            --- calls         system calls that the kernel hands to us: sockets and connections
            --- gate          the name server that the program asks
            --- kernel        the few system calls that Python has no words for

The servers stand in the machine's own network. A program with a network of its own can reach nobody, so
its TCP sockets are made for it in the machine's: the kernel hands `socket` and `connect` to us
(seccomp's user notification), and whoever is not on this machine's loopback is unreachable. Data never
pass through us; a refused connection, a reset and a silent host look as they do without.
"""
