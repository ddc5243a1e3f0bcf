"""The reviewers' console: pages on the gateway for people with a browser, by the same domain code as API and CLI.

Pages are made here and work without a script; the scripts only save keystrokes. Nothing is loaded from anywhere else.
"""
