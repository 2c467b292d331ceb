"""The gRPC edge: servers that know their callers, and the peers that a service asks."""

from waybill_chassis.rpc.calls import authorize, caller
from waybill_chassis.rpc.peers import Peer, Peers
from waybill_chassis.rpc.server import GrpcServer, Servicer

__all__ = ["GrpcServer", "Peer", "Peers", "Servicer", "authorize", "caller"]
