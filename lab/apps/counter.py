"""A page that counts its visitors (the book's 7.2): Flask answers, Redis remembers.

It runs in a container of its own. `redis` is the name of another one on the same network.
"""

from __future__ import annotations

from flask import Flask  # type: ignore[import-not-found]  # in its image only
from redis import Redis  # type: ignore[import-not-found]  # in its image only

app = Flask(__name__)
redis = Redis(host="redis", port=6379)


@app.route("/")  # type: ignore[untyped-decorator]  # so it is only there
def hello() -> str:
    """One more visitor."""
    return f"Hello. You are visitor {redis.incr('visitors')}.\n"


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
