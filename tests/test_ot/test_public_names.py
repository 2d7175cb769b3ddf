import mmdet_uot.ot


def test_public_names_are_there():
    for name in mmdet_uot.ot.__all__:
        assert getattr(mmdet_uot.ot, name).__doc__
