"""May a change be written now? Each check names the one thing that stands in the way.

check (module)              stops                      until
--------------------------  -------------------------  -----------------------------------
wish                        every write, that of       the user says otherwise
  mode, paused, method        former values included
rollout                     every change               this DaemonSet is rolled out and well
facts                       every change               the sources answer again; growth needs
                                                       half the coverage
rollout                     every change               no DaemonSet of another policy rolls
                            every change               nearly all nodes are Ready, not cordoned
ladder                      all but growth; all        what called for it is over for a while
when
  windows                   a start (see urgency)      the next window opens
  pace: cooldown            every change but growth    the time has passed
                              a schedule is due
  pace: maxPerDay           every change               the time has passed
  pace: schedule            a switch that is not       the next part, where too little of this
                              pressing                 one or no change is left for others
  urgency                   nothing: it says what passes windows and cooldown under pressure
steady (stabilization)      a change that holds less   as little was recommended for so long
worth (minSaving)           a change that holds less   it is worth its restarts
brake                       growth; a second change    no subnet was short for an hour; the hour is
                            within an hour             over: pace, steady and worth do not hold
                                                       what it asks
`ippolicy.decide.undo`
  back-off                  what was rolled back, and  a while has passed, or what it rests on is
                            less; not the brake        another: demand, policy, targets in force
  predictions               all but growth that is     the model explains again what is held
                            needed, and the brake

`ippolicy.decide.decision` asks them in order; `ippolicy explain` shows them all. What undoes a
harmful change is asked for nothing but the first.
"""

from __future__ import annotations

from ippolicy.decide.gates.birth import birth_gate
from ippolicy.decide.gates.brake import brake_gate, release_gate
from ippolicy.decide.gates.facts import facts_gate, unread
from ippolicy.decide.gates.ladder import climb, ladder_gate
from ippolicy.decide.gates.pace import cooldown_gate, pace_gate
from ippolicy.decide.gates.rollout import elsewhere_gate, nodes_gate, rollout_gate
from ippolicy.decide.gates.steady import most_generous, noted, shrinks, steady_gate
from ippolicy.decide.gates.stop import Limits, Stop
from ippolicy.decide.gates.urgency import Pressure, may_pass, pressure_of
from ippolicy.decide.gates.when import grows, when_gate
from ippolicy.decide.gates.windows import window_gate
from ippolicy.decide.gates.wish import off_gate, wish_gate
from ippolicy.decide.gates.worth import worth_gate

__all__ = [
    "Limits",
    "Pressure",
    "Stop",
    "birth_gate",
    "brake_gate",
    "climb",
    "cooldown_gate",
    "elsewhere_gate",
    "facts_gate",
    "grows",
    "ladder_gate",
    "may_pass",
    "most_generous",
    "nodes_gate",
    "noted",
    "off_gate",
    "pace_gate",
    "pressure_of",
    "release_gate",
    "rollout_gate",
    "shrinks",
    "steady_gate",
    "unread",
    "when_gate",
    "window_gate",
    "wish_gate",
    "worth_gate",
]
