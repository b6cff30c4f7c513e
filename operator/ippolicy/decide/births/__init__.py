"""Targets by node group that aws-node pods are born with: which, tried where first, and whose
aws-node is made anew for them. Pure.

    table.py      who gets which targets: by trial, group, family, fleet
    document.py   a table as the JSON that is kept on the cluster
    loans.py      what proven targets lend to groups that have none
    wishes.py     what demand asks of each group, steady enough to be tried
    trials.py     a group's targets are tried by one node, then some, then all
    cohorts.py    those that try, held against those that do not: did it do harm?
    gains.py      what a restart repays over the life that a node has left
    members.py    each node as its pod, its pool and its group say
    restarts.py   whose aws-node is made anew now, in order of gain, within budgets
    roll.py       one step of it all
    back.py       pods return to their template, once nothing else is set
    progress.py   how many nodes run the targets of their group
    ledger.py     the trials as changes of the record
    kept.py       a step with all that it rests on, to be made again elsewhere
"""
