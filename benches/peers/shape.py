"""What every peer's script shares: the members of a record, the clock, the command line. Each script answers to

    X_peer.py import LAYOUT FILE FOLDER THREADS     imports and prints {"seconds": ..., "cpu_seconds": ...}
    X_peer.py settle LAYOUT FOLDER THREADS          has the peer fold what imports left, and prints the same
    X_peer.py read LAYOUT FILE FOLDER THREADS       writes the segment's endpoints by id, and prints the same
    X_peer.py check LAYOUT FOLDER ID                prints what is there (see `found`)

The clock starts when the interpreter and the peer's library are loaded, so that a peer does not pay for Python.
"""

import json
import os
import sys
import time

FLAT = ["Id", "ChannelType", "Address", "EffectiveDate", "CreationDate", "OptOut", "EndpointStatus"]
NESTED = ["Attributes", "Demographic", "Location", "Metrics", "User"]
# The condition that makes an endpoint one of those that are read out.
MEMBERS = "Id IN (SELECT Id FROM members WHERE segment = 1)"


def found(endpoints, members, oldest, plan, visits, users=None):
    """What a check prints: how many there are, and the values of the endpoint that was asked for."""
    return {
        "endpoints": endpoints, "members": members, "users": users,
        "oldest": str(oldest)[:4], "plan": plan, "visits": float(visits),
    }


def main(import_file, settle, read_out, check):
    """Runs the script; figures that an action returns take the place of those that are measured here."""
    action, layout, *rest = sys.argv[1:]
    if action == "check":
        folder, endpoint = rest
        print(json.dumps(check(layout, folder, endpoint)))
        return
    *path, folder, threads = rest
    os.makedirs(folder, exist_ok=True)
    measured = {"import": import_file, "settle": settle, "read": read_out}[action]
    begin, before = time.monotonic(), sum(os.times()[:4])
    more = measured(layout, *path, folder, int(threads)) or {}
    taken = {"seconds": time.monotonic() - begin, "cpu_seconds": sum(os.times()[:4]) - before}
    print(json.dumps(taken | more))
