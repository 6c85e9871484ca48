"""The benchmark: what one enforced request costs the gateway's process, beside the proxies people would use instead.

`python -m tests.bench` from the repository root starts every proxy in turn, pinned to one core, puts the same counted
load on it, and reads how much processor time its processes used. Read the ratios: the machine may be shared.

scenarios   what is sent            tokens      the keys and the signed tokens
peers/      one file per proxy      processes   start pinned, wait ready, end by id
load        wrk and h2load          measure     processor time, memory, noise of others
check       does it enforce at all  idle        many quiet keep-alive connections
plays       each kind of scenario   stage       rounds, interleaved
streams     long bodies             slowloris   heads that never end (slow: the attacker)
full        the run for the docs    goals       targets beside figures
report, tables, figures, plot       the answer
"""
