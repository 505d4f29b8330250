"""``python -m hubspot_double [--port 0] [--seed FILE.yaml] [--with-relay-properties] [--set NAME=VALUE ...]``.

Prints ``hubspot_double listening on http://127.0.0.1:PORT`` and then serves until SIGTERM. VALUE is YAML.
"""

import argparse
import socket
import sys
from pathlib import Path

import uvicorn
import yaml

from hubspot_double import seeding
from hubspot_double.admin import Admin
from hubspot_double.app import Double
from hubspot_double.settings import Settings
from hubspot_double.wire import TalkingProtocol


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hubspot_double", description="A HubSpot account for tests and demos.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--seed", type=Path, action="append", default=[], help="YAML or JSON, see hubspot_double.seeding"
    )
    parser.add_argument("--with-relay-properties", action="store_true", help="as if `crm setup` had run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="see hubspot_double.settings")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    settings = Settings()
    settings.change({name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in arguments.set)})
    double = Double(settings, relay_properties=arguments.with_relay_properties)
    double.admin = Admin(double)
    for file in arguments.seed:
        seeding.seed(double.account, seeding.read(file))
    listening = socket.create_server((arguments.host, arguments.port), backlog=512)
    config = uvicorn.Config(
        double,
        http=TalkingProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="critical",
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    print(f"hubspot_double listening on http://{arguments.host}:{listening.getsockname()[1]}", flush=True)
    try:
        await uvicorn.Server(config).serve(sockets=[listening])
    finally:
        await double.webhooks.aclose()
        listening.close()


if __name__ == "__main__":
    import uvloop

    sys.exit(uvloop.run(_serve(_arguments())))
