"""The server listens to this machine alone and reads no file."""

import http.client
import json
from threading import Thread

import pytest

from mmdet_uot.explain.export import numbers_of
from mmdet_uot.explain.server import make_server, solve_request


@pytest.fixture
def question(ask):
    return ask('SSD')


@pytest.fixture
def request_of(question):
    server = make_server('<p>the page</p>', [question])
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    host, port = server.server_address
    assert host == '127.0.0.1'

    def request_of(method, path, body=None, **headers):
        connection = http.client.HTTPConnection(host, port)
        headers = {k.replace('_', '-'): v for k, v in headers.items()}
        if body is not None:
            headers.setdefault('Content-Type', 'application/json')
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    yield request_of
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def asked(question):
    return dict(numbers_of(question), image=0)


def test_the_page_is_all_there_is(request_of):
    assert request_of('GET', '/') == (200, '<p>the page</p>')
    for path in ('/../../etc/passwd', '//etc/passwd', '/solve', '/x'):
        assert request_of('GET', path)[0] == 404


def test_the_solver_answers(request_of, question, asked):
    status, text = request_of('POST', '/solve', json.dumps(asked))
    assert status == 200
    got = json.loads(text)['got']
    assert got == pytest.approx(question.answer.got.tolist(), abs=1e-5)
    more = dict(asked, background=0.9, tau2='inf')
    _, text = request_of('POST', '/solve', json.dumps(more))
    answer = question.ask(background_cost=0.9, tau2=float('inf'))
    expected = answer.got.tolist()
    assert json.loads(text)['got'] == pytest.approx(expected, abs=1e-4)


def test_ranges_are_solved_too(ask):
    question = ask('SSD, range')
    asked = dict(numbers_of(question), image=0, tau2='inf')
    answer = question.ask(tau2=float('inf'))
    expected = pytest.approx(answer.got.tolist(), abs=1e-5)
    assert solve_request([question], asked)['got'] == expected


@pytest.mark.parametrize(
    'change',
    [
        dict(image=1),
        dict(image=-1),
        dict(image='0'),
        dict(epsilon=-1),
        dict(epsilon=None),
        dict(epsilon='nan'),
        dict(background='inf'),
        dict(tau1=-1),
        dict(tau2='../x'),
        dict(iterations=10**9),
        dict(iterations=1.5),
    ],
)
def test_nonsense_is_refused(request_of, asked, change):
    body = json.dumps({**asked, **change})
    assert request_of('POST', '/solve', body)[0] == 400


def test_what_is_no_request_of_the_page_is_refused(request_of, asked):
    body = json.dumps(asked)
    for status, headers in (
        (404, dict(Host='evil.example')),
        (404, dict(Origin='http://evil.example')),
        (404, dict(Content_Type='text/plain')),
        (400, dict(Content_Length='99999999')),
    ):
        assert request_of('POST', '/solve', body, **headers)[0] == status
    for wrong in ('[]', '{', '"x"', 'null'):
        assert request_of('POST', '/solve', wrong)[0] == 400
    assert request_of('GET', '/', Host='evil.example')[0] == 404
