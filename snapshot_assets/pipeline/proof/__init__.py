"""The proof: the source's rows are counted a second time, and Redis is compared with that.

``fetch`` reads the rows again, ``recount`` counts them by the rules of the contract in SQL, and
both share nothing with the domain, so that a mistake there cannot hide in both. ``compare`` finds
where two counts differ. ``prove`` does that for host-days and gives the verdicts.
"""
