"""Autonomy by evidence: what agents and people agreed on, and what may be concluded from it. Pure; numpy alone.

`level` is the state machine of a cell, `eprocess` the tests it rests on, `audit_sample` decides which items a person
looks at all the same, `arms` says what the evidence is about. `agreement` and `raters` describe a shadow run,
`calibration`, `reliability` and `risk_control` turn confidence into a share of errors and a review threshold.
"""
