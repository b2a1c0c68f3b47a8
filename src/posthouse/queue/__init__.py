"""Wait and choose: everything between the 250 that we said and the 250 that we get.

``intake`` places a new message and commits it, ``lines`` are the waiting lines (one for each next hop, so that a dead
one delays no other), ``dispatch`` chooses what is attempted next, ``plan`` routes it by the flow of the moment,
``schedule`` decides state and time after an attempt, ``settle`` writes the result with its notices, ``sweep`` expires,
notices delays and retires, ``control`` is the operator's hand, ``guard`` says when there is no room. States and crash
points: ``docs/states.md``.
"""
