"""A HubSpot account as an HTTP server process, for tests and the demo.

It keeps state, checks every request against the OpenAPI descriptions in ../shared/specs/hubspot (both versions of the
paths at once), keeps unique values, the search lag and the rate limits, and fails when told to.

* Start: `process.HubSpotDouble.start()` in tests (`fixtures` has pytest fixtures), ``PYTHONPATH=tests python -m
  hubspot_double --port 8900 --seed FILE.yaml --with-relay-properties`` by hand.
* What to put in: `seeding`. What to set: `settings`. What to break: `faults`. What to ask: `process.DoubleClient`.
* Ids: companies 11..., contacts 22..., deals 33..., tickets 55..., emails 77..., notes 88..., eleven digits each.
* ``violations`` must be empty at the end of every test: requests that a correct client never makes.

What HubSpot does not document is chosen to be unkind: batch answers come in reverse, paging cursors are opaque,
``toObjectId`` is a number, a domain in CONTAINS_TOKEN matches parts of other domains, searches count in the burst.
"""
