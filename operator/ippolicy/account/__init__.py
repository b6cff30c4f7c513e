"""What people see: status and conditions, events, metrics, health, and the reference of all these.

A `View` goes in and data comes out; the engine carries it to the API server. From facts to pages:

    view.py         one pass over one policy: everything below is made of it
    words.py        how figures are said
    faults.py       what is wrong, each with its cause and its fix
    notes.py        what is worth saying though nothing is wrong
    reasons.py      how a decision's reason is shown
    catalogue.py    every condition and every reason it can have
    conditions.py   the conditions of a pass
    subnets.py      the subnets in the status
    status.py       the status document, bounded in size
    difference.py   when a status is worth writing, and what of it
    events.py       every event, and how equal ones are thinned
    transitions.py  which events a pass gives
    metrics.py      every metric, declared
    samples.py      what the gauges of a policy are worth
    exporter.py     what /metrics serves
    health.py       what /healthz and /readyz answer
    reference.py    docs/reference, generated from all of the above
"""
