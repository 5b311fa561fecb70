"""``python -m scmkit.sandbox``: a sandbox for other processes, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence

from scmkit.core.errors import ScmkitError
from scmkit.sandbox import Sandbox


def main(argv: Sequence[str] | None = None, program: str = "python -m scmkit.sandbox") -> None:
    """Serve until Ctrl-C; prints the URL and the token, which is good for this sandbox only."""
    options = _parser(program).parse_args(argv)
    codes = int(options.codes) if options.codes.isdecimal() else options.codes
    try:
        with Sandbox(codes, speed=options.speed, port=options.port) as sandbox:
            sys.stdout.write(_welcome(sandbox))
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        sys.stdout.write("stopped\n")
    except (ScmkitError, OSError) as error:
        raise SystemExit(f"the sandbox cannot start: {error}") from None


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Serve a sandbox on loopback.")
    parser.add_argument("--codes", default="10000", metavar="N|PATH", help="codes to make up, or a CSV of codes")
    parser.add_argument("--port", type=int, default=0, metavar="P", help="the port (default: a free one)")
    parser.add_argument("--speed", type=float, default=1.0, metavar="S", help="how much faster its clock runs")
    return parser


def _welcome(sandbox: Sandbox) -> str:
    return (
        f"{sandbox!r}\nIn another shell:\n\n"
        f"  export SCANTRUST_BASE_URL={sandbox.url}\n"
        f"  export SCANTRUST_UAT_TOKEN={sandbox.token}\n\n"
        f'  curl -H "Authorization: UAT $SCANTRUST_UAT_TOKEN" $SCANTRUST_BASE_URL/api/v2/me/\n\n'
        "Ctrl-C stops it.\n"
    )


if __name__ == "__main__":
    main()
