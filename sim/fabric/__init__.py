"""What time does: the SimPy clock, the price of each step, and the processes that send and answer.

`fabric.py` is the one file that schedules events; `costs.py` the prices; `probe.py`, `responder.py`, `proxy.py` and
`dns.py` are the programs that run on the simulated sockets, written as SimPy processes.
"""
