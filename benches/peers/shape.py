"""What every peer's script shares: the members of a record, the clock, the command line. Each script answers to

    X_peer.py import LAYOUT FILE FOLDER THREADS     imports and prints {"seconds": ..., "cpu_seconds": ...}
    X_peer.py check LAYOUT FOLDER ID                prints what is there (see `Found`)

The clock starts when the interpreter and the peer's library are loaded, so that a peer does not pay for Python.
"""

import json
import os
import sys
import time

FLAT = ["Id", "ChannelType", "Address", "EffectiveDate", "CreationDate", "OptOut", "EndpointStatus"]
NESTED = ["Attributes", "Demographic", "Location", "Metrics", "User"]


def found(endpoints, members, oldest, plan, visits, users=None):
    """What a check prints: how many there are, and the values of the endpoint that was asked for."""
    return {
        "endpoints": endpoints, "members": members, "users": users,
        "oldest": str(oldest)[:4], "plan": plan, "visits": float(visits),
    }


def main(import_file, check, processor_time=None):
    """Runs the script; `processor_time` is for a peer that works in other processes too."""
    processor_time = processor_time or (lambda: sum(os.times()[:4]))
    action, layout, *rest = sys.argv[1:]
    if action == "check":
        folder, endpoint = rest
        print(json.dumps(check(layout, folder, endpoint)))
        return
    path, folder, threads = rest
    os.makedirs(folder, exist_ok=True)
    begin, before = time.monotonic(), processor_time()
    more = import_file(layout, path, folder, int(threads)) or {}
    taken = {"seconds": time.monotonic() - begin, "cpu_seconds": processor_time() - before}
    print(json.dumps(taken | more))
