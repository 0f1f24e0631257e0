"""Ask for a page: `python -m chaoskit.agents.page URL SECONDS`. Exit code 0 where its status is 2xx. Standard library only."""

from __future__ import annotations

import ssl
import sys
import urllib.error
import urllib.request


class _Stays(urllib.request.HTTPRedirectHandler):
    """A redirection is an answer of its own, as it is to a question asked within a node."""

    def redirect_request(self, *args: object, **more: object) -> None:
        return None


def main(url: str, timeout_s: float) -> int:
    """What it was goes to the standard output. No proxy is asked, and no certificate is judged: who answers, not who it is."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    ways = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting), _Stays()
    opener = urllib.request.build_opener(*ways)
    try:
        with opener.open(url, timeout=timeout_s) as answer:
            status = int(answer.status)
    except urllib.error.HTTPError as error:
        status = error.code
    except (OSError, ValueError) as error:
        print(f"{url}: {getattr(error, 'reason', error)}")
        return 1
    print(f"{url}: status {status}")
    return 0 if 200 <= status <= 299 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2])))
