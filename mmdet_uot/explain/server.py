"""The report with the solver of the package behind it, on this machine."""

from __future__ import annotations

import json
import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from .export import numbers_of
from .question import Question

__all__ = ['HOST', 'make_server', 'solve_request']

HOST = '127.0.0.1'
_MOST_BYTES = 10_000
_MOST_ITERATIONS = 10_000
_NUMBERS = ('epsilon', 'tau1', 'tau2', 'background', 'iterations')


def make_server(
    page: str, questions: list[Question], port: int = 0
) -> ThreadingHTTPServer:
    """Makes a server that only this machine can reach.

    It knows two requests, and reads no file: ``GET /``, the page, and ``POST
    /solve``, see :func:`solve_request`.

    Args:
        page (str): HTML.
        questions (list[Question]): The images of the page.
        port (int): Where it listens. Defaults to 0, any free one.

    Returns:
        ThreadingHTTPServer: Not started.
    """
    lock = Lock()

    class Handler(BaseHTTPRequestHandler):
        # Nobody else's pages may ask, whatever name they give this machine.
        def _is_own(self) -> bool:
            port = self.server.server_address[1]
            names = [f'{name}:{port}' for name in (HOST, 'localhost')]
            origin = self.headers.get('Origin')
            return self.headers.get('Host') in names and (
                origin is None or origin in [f'http://{x}' for x in names]
            )

        def do_GET(self) -> None:
            if not self._is_own() or self.path != '/':
                self._send(404, 'text/plain', 'there is only the page /')
                return
            self._send(200, 'text/html', page)

        def do_POST(self) -> None:
            is_json = self.headers.get_content_type() == 'application/json'
            if not self._is_own() or self.path != '/solve' or not is_json:
                self._send(404, 'text/plain', 'there is only /solve, of JSON')
                return
            try:
                length = int(self.headers.get('Content-Length', 0))
                if not 0 < length <= _MOST_BYTES:
                    raise ValueError(f'at most {_MOST_BYTES} bytes')
                asked = json.loads(self.rfile.read(length))
                with lock:
                    answer = solve_request(questions, asked)
            except (KeyError, TypeError, ValueError) as error:
                self._send(400, 'text/plain', f'not understood: {error}')
                return
            self._send(200, 'application/json', json.dumps(answer))

        def _send(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header('Content-Type', f'{kind}; charset=utf-8')
            self.send_header('Content-Length', str(len(body)))
            self.send_header('X-Content-Type-Options', 'nosniff')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    return ThreadingHTTPServer((HOST, port), Handler)


def solve_request(
    questions: list[Question], asked: dict[str, Any]
) -> dict[str, Any]:
    """Solves an image with other numbers.

    Args:
        questions (list[Question]): The images.
        asked (dict): ``image``, its index, ``epsilon``, ``tau1``, ``tau2``,
            ``background`` and ``iterations``; infinity is 'inf'.

    Returns:
        dict: ``got``, the mass of each object.

    Raises:
        KeyError: If a number is missing.
        TypeError: If one is of another type.
        ValueError: If one is out of its range, or there are no such numbers.
    """
    index, numbers = asked['image'], [asked[name] for name in _NUMBERS]
    if not isinstance(index, int) or not 0 <= index < len(questions):
        raise ValueError(f'no image {index!r}')
    epsilon, tau1, tau2, background, iterations = numbers
    for number in (epsilon, background):
        if not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ValueError(f'no finite number: {number!r}')
    if iterations not in range(1, _MOST_ITERATIONS + 1):
        raise ValueError(f'iterations must be 1 to {_MOST_ITERATIONS}')
    question = questions[index]
    now = numbers_of(question)
    if now is None:
        raise ValueError('this matcher has no such numbers')
    answer = question.ask(
        epsilon=epsilon,
        epsilon0=None,
        tau1=float(tau1),
        tau2=float(tau2),
        more_background=background - now['background'],
        num_iters=iterations,
    )
    return dict(got=answer.got.tolist())
