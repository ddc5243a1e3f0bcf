"""The chaos suite: reviews with every stage, and one blow at each moment of them. `python tests/chaos`, `make chaos`.

schedule   pure: which blows there are, and which of them a seed picks
laws       pure: what must hold afterwards, exactly
worker     the process that is struck: the product's own worker, with shorter timeouts and orders to die or freeze
stand      one embedded stack; lanes on it that do not disturb each other; a provider lab a lane
play       one schedule on one lane
storm      many reviews at once while Redis and Postgres are killed every few seconds
"""
