"""A simulated upstream: a real HTTP server that answers as the customers API of Midday was recorded to.

For the demo, for compose, and for the tests of whoever runs the worker. It can be told to be slow, to fail, to hang,
to reset connections, to limit and to restart; see ``worker.demo.upstream.control`` for the JSON.
"""

from worker.demo.upstream.access import NONE_TOKEN, RO_TOKEN, RW_TOKEN
from worker.demo.upstream.control import ControlRefused
from worker.demo.upstream.customers import customer_id_for
from worker.demo.upstream.server import SimulatedUpstream

__all__ = ["NONE_TOKEN", "RO_TOKEN", "RW_TOKEN", "ControlRefused", "SimulatedUpstream", "customer_id_for"]
