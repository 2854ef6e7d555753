"""Exit code 0 if this container's server answers. One that asks for a password is alive too."""

import http.client
import os
import sys

TIMEOUT_S = 3.0
ALIVE = (200, 401)


def main() -> str | None:
    """What is wrong; None if nothing is."""
    port = int(os.environ.get("ZEROGUIDE_PORT") or 9090)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {port}: {error}"
    finally:
        connection.close()
    return None if status in ALIVE else f"port {port} answers with status {status}"


if __name__ == "__main__":
    sys.exit(main())
